"""Files that were there and were not taken: counted by kind, the first of each kind named."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypedDict

from fovea.images.names import LITTER
from fovea.printable import printable

OTHER: Final = "other endings"
MOST_KINDS: Final = 40
"""More endings than these are counted together as OTHER."""
MOST_SAID: Final = 5
"""Kinds that a line says."""


@dataclass
class Kind:
    """Files of one kind."""

    files: int = 0
    names: list[str] = field(default_factory=list)
    """the first ones, printable"""


class KindRecord(TypedDict):
    """`Kind`, as JSON."""

    files: int
    names: list[str]


class Counted(Protocol):
    """Files of one kind, as whoever keeps a record of them has it."""

    @property
    def files(self) -> int: ...
    @property
    def names(self) -> Sequence[str]: ...


@dataclass
class PassedOver:
    """A count of files, in bounded memory however many there are."""

    most_named: int = 10
    """names that are kept of each kind"""
    kinds: dict[str, Kind] = field(default_factory=dict)

    @property
    def files(self) -> int:
        return sum(kind.files for kind in self.kinds.values())

    @property
    def matters(self) -> bool:
        """Whether there is more than what systems leave behind."""
        return any(name != LITTER for name in self.kinds)

    def add(self, name: str, kind: str, files: int = 1) -> None:
        """`name` may stand for several files, as a folder's does."""
        kind = printable(kind)
        if kind.startswith(".") and kind not in self.kinds and len(self.kinds) >= MOST_KINDS:
            kind = OTHER
        counted = self.kinds.setdefault(kind, Kind())
        counted.files += files
        if len(counted.names) < self.most_named:
            counted.names.append(printable(name))

    def record(self) -> dict[str, KindRecord]:
        """By the name of the kind, most files first."""
        return {name: KindRecord(files=kind.files, names=kind.names) for name, kind in self._sorted()}

    def line(self) -> str:
        """What there is, in one line, with an example of each kind."""
        return summary_line(dict(self._sorted()))

    def _sorted(self) -> Iterable[tuple[str, Kind]]:
        return sorted(self.kinds.items(), key=lambda pair: (pair[0] == LITTER, -pair[1].files, pair[0]))


def summary_line(kinds: Mapping[str, Counted]) -> str:
    """Kinds by their names, in one line: `12 .heic (cat/1.heic), 3 .mov (cat/1.mov)`."""
    parts = [
        f"{kind.files:,} {name}" + (f" ({kind.names[0]})" if kind.names else "")
        for name, kind in list(kinds.items())[:MOST_SAID]
    ]
    more = sum(kind.files for kind in list(kinds.values())[MOST_SAID:])
    return ", ".join([*parts, *([f"and {more:,} others"] if more else [])])
