"""What all parts of the table share: where they work, how long, and beside what."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from benchmarks.builds import THIS, Build
from benchmarks.networks import Bundles
from benchmarks.table.rows import Row

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Bench:
    """The settings of a run."""

    work: Path
    photographs: Path
    """A folder of JPEG files of 500 x 375 pixels and 56 KB."""
    older: Build
    """The build that this one is measured beside; this one itself in parts that need no other."""
    seconds: float
    """Of each measurement."""
    rounds: int

    @property
    def bundles(self) -> Bundles:
        """In the form of the older build, which this one reads too."""
        return Bundles(self.work, self.photographs, self.older)

    @property
    def builds(self) -> tuple[Build, Build]:
        return self.older, THIS

    def in_rounds(self, measure: Callable[[Build], Seen]) -> tuple[list[Seen], list[Seen]]:
        """Of (the older build, this one), in turns; which comes first changes."""
        seen: tuple[list[Seen], list[Seen]] = ([], [])
        for number in range(self.rounds):
            for which in (0, 1) if number % 2 == 0 else (1, 0):
                seen[which].append(measure(self.builds[which]))
        return seen


class Part(Protocol):
    """Measures some of the rows."""

    def __call__(self, bench: Bench) -> list[Row]: ...
