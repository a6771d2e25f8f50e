"""Each model has two names in the protocol: one takes encoded images, the other crops that are ready."""

from dataclasses import dataclass
from typing import Final

from fovea.model.bundle import BundleContract
from server.errors import FieldInvalid, ModelUnknown
from server.models.model import Models

ONNX_SUFFIX: Final = "_onnx"
SHOWN: Final = 64
"""Characters of a caller's own text that an error repeats: gRPC sends no long ones."""


SHOWN_MODELS: Final = 8
"""Whose names an error lists, at most."""


@dataclass(frozen=True)
class ModelAlias:
    """One name of the model, and the input that it takes."""

    name: str
    input: str
    datatype: str
    dims: tuple[int, ...]
    """Of one image; the number of images comes before them."""

    @property
    def takes_crops(self) -> bool:
        return self.datatype == "UINT8"

    def __str__(self) -> str:
        """`'pixels' (UINT8 [n,224,224,3], crops that are ready)`"""
        shape = ",".join(map(str, ("n", *self.dims)))
        what = "crops that are ready" if self.takes_crops else "encoded images"
        return f"'{self.input}' ({self.datatype} [{shape}], {what})"


def aliases_of(contract: BundleContract) -> tuple[ModelAlias, ModelAlias]:
    side = contract.preprocess.size
    of_crops = ModelAlias(f"{contract.name}{ONNX_SUFFIX}", "pixels", "UINT8", (side, side, 3))
    return ModelAlias(contract.name, "image", "BYTES", (1,)), of_crops


def alias_of(contract: BundleContract, name: str) -> ModelAlias:
    """Raises ModelUnknown."""
    aliases = aliases_of(contract)
    for alias in aliases:
        if alias.name == name:
            return alias
    known = " and ".join(f"'{alias.name}', which takes {alias}" for alias in aliases)
    raise ModelUnknown(f"there is no model {quoted(name)}; there are {known}")


def find(models: Models, name: str) -> tuple[ModelAlias, str]:
    """The alias, and the name of the model that it is one of. Raises ModelUnknown, NoModelReady."""
    names = models.names
    own = name if name in names else name.removesuffix(ONNX_SUFFIX)
    if own in names:
        return alias_of(models.choose(0, own).contract, name), own
    if len(names) == 1:
        alias_of(models.choose(0).contract, name)
    known = ", ".join(f"'{each}' and '{each}{ONNX_SUFFIX}'" for each in sorted(names)[:SHOWN_MODELS])
    more = f" and {len(names) - SHOWN_MODELS} more" if len(names) > SHOWN_MODELS else ""
    raise ModelUnknown(f"there is no model {quoted(name)}; there are {known or 'none'}{more}")


def version_of(field: str, text: str) -> int:
    """The version's number, 0 for the current one. Raises FieldInvalid."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and text[0] != "0"):
        what = "the number of a version, as 3, or empty for the current one"
        raise FieldInvalid(field, f"{field} must be {what}, not {quoted(text)}")
    return int(text)


def quoted(text: str) -> str:
    """A caller's text as an error repeats it."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
