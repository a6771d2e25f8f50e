"""What may be chosen where a setting is neither a number nor a text of any kind."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from fovea.model.bundle import Precision

ServedPrecision = Literal[Precision, "auto"]


def _latest_or_number(value: str) -> str:
    if value != LATEST and not (value.isdecimal() and int(value) >= 1):
        raise ValueError("must be latest or the number of a version")
    return value


LATEST: Final = "latest"
VersionChoice = Annotated[str, AfterValidator(_latest_or_number)]
"""latest, or a version's number."""


def _auto_or_number(value: str) -> str:
    if value != AUTO and not (value.isdecimal() and 1 <= int(value) <= MAX_FRONTS):
        raise ValueError(f"must be auto or a number from 1 to {MAX_FRONTS}")
    return value


AUTO: Final = "auto"
MAX_FRONTS: Final = 16
FrontsChoice = Annotated[str, AfterValidator(_auto_or_number)]
"""auto, or how many."""


def number_of(choice: VersionChoice) -> int | None:
    """None for the latest."""
    return None if choice == LATEST else int(choice)
