"""What an image would teach whoever labels it, as far as its answers tell."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from fovea.capture.rows import Captured

DISAGREEMENT: Final = 4.0
UNKNOWN: Final = 2.0
ABSTAINED: Final = 1.0
"""The same for a class that drifts. Powers of two: one outweighs all that are less together, whose last is
the margin, from 0 to 1."""
EVERY: Final = 10
"""Which place is an image's that was drawn whatever its answer was."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """What all answers about one image say. Few bytes: it is kept of every image that was captured."""

    label: str
    """of one of them"""
    margin: float
    """the smallest"""
    disagrees: bool
    unknown: bool
    abstained: bool
    drifting: bool
    uniform: bool

    @classmethod
    def of(cls, row: Captured) -> "Told":
        return cls(
            label=sys.intern(row.label),
            margin=row.margin,
            disagrees=row.reason == "disagreement",
            unknown=bool(row.unknown),
            abstained=row.abstained,
            drifting=row.reason == "drifting_class",
            uniform=row.reason == "uniform",
        )

    def and_(self, other: "Told") -> "Told":
        return Told(
            label=self.label,
            margin=min(self.margin, other.margin),
            disagrees=self.disagrees or other.disagrees or self.label != other.label,
            unknown=self.unknown or other.unknown,
            abstained=self.abstained or other.abstained,
            drifting=self.drifting or other.drifting,
            uniform=self.uniform or other.uniform,
        )

    @property
    def score(self) -> float:
        """From 0 to 8. More answers never make it less, so that the best of a stream are known as it runs."""
        return (
            DISAGREEMENT * self.disagrees
            + UNKNOWN * self.unknown
            + ABSTAINED * (self.abstained or self.drifting)
            + (1 - self.margin)
        )

    def why(self) -> Iterator[str]:
        """In words, what speaks most for it first."""
        words = {
            "answers disagree": self.disagrees,
            "unlike the training's images": self.unknown,
            "the model abstained": self.abstained,
            "its class drifts": self.drifting,
        }
        return (word for word, holds in words.items() if holds)


def interleave(best: Sequence[T], drawn: Sequence[T]) -> list[T]:
    """Each of both once: those that were drawn at every tenth place, and the best at the others."""
    chosen = set(drawn)
    waiting, others = iter(drawn), (each for each in best if each not in chosen)
    order: list[T] = []
    while part := [*islice(others, EVERY - 1), *islice(waiting, 1)]:
        order += part
    return order
