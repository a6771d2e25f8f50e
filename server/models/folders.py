"""What a model is called: as its folder of versions is."""

from pathlib import Path
from typing import Final

from fovea.model.bundle import BundleContract

SHOWN_CHARACTERS: Final = 64
"""Of a name that a caller gave."""


def name_of(folder: str) -> str:
    """Of a path or a URI."""
    if "://" in folder:
        return folder.rstrip("/").rpartition("/")[2]
    return Path(folder).resolve().name


def named(contract: BundleContract, name: str) -> BundleContract:
    """As of a model of this name; an empty one leaves the contract's."""
    return contract if name in ("", contract.name) else contract.model_copy(update={"name": name})


def shown(name: str) -> str:
    """As an error repeats a caller's: gRPC sends no long ones."""
    return repr(name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}...")
