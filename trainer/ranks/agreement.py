"""Are all ranks alike? Where one is not, it is named before the first step, and not found in the results."""

from collections.abc import Mapping, Sequence
from typing import Final

from fovea.errors import DataInvalid, FoveaError, SettingsInvalid

OPTIONS: Final = "options"
VERSIONS: Final = "versions"
DATA: Final = "data"
DEVICES: Final = "kind of device"

Facts = Mapping[str, str]
"""What a rank has, by its name for a person: `--batch-size` -> `64`."""


def compare(what: str, facts: Sequence[Facts]) -> None:
    """`facts` are the ranks', in their order.

    Raises DataInvalid where the data differ, SettingsInvalid for options and versions. It is the same for
    every rank, for each compares all.
    """
    first = facts[0]
    for rank, other in enumerate(facts):
        for name in sorted({*first, *other}):
            if first.get(name) != other.get(name):
                raise _difference(what, rank, name, other.get(name), first.get(name))


def _difference(what: str, rank: int, name: str, value: str | None, of_first: str | None) -> FoveaError:
    has, others = value or "none", of_first or "none"
    if what == DATA:
        return DataInvalid(
            f"rank {rank} differs from rank 0 in {name}: {has}, not {others}; all must read the same data"
        )
    return SettingsInvalid(
        f"rank {rank} differs from rank 0 in {name}: {has}, not {others}; all must have the same {what}"
    )
