"""A sample for each reason, all of them together within one budget, of items that come one by one."""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")
ALL: Final = 1.0
"""Above each draw."""


class Budget(NamedTuple):
    """What may be kept."""

    images: int
    size_bytes: int


class _Kept(NamedTuple, Generic[T]):
    """Sorts the largest draw first; no two numbers are the same, so that items are never compared."""

    minus_draw: float
    number: int
    size_bytes: int
    item: T


@dataclass
class _Drawn(Generic[T]):
    """Of one reason."""

    seen: int = 0
    size_bytes: int = 0
    bound: float = ALL
    """What draws this or more is let go."""
    kept: list[_Kept[T]] = field(default_factory=list)
    """A heap."""


class Sample(Generic[T]):
    """Each item gets a number drawn by chance, and those of the smallest numbers are kept.

    So the items of a reason are all as likely to be kept, the first as the last, however many come (bottom-k
    sampling: E. Cohen and H. Kaplan, Summarizing data using bottom-k sketches, PODC 2007), unless bytes bound
    it: then large ones are less likely. Where the budget is exceeded, the reason that takes most of it lets
    go: none crowds out another one.
    Belongs to one thread. Never has more than the budget and one item.
    """

    def __init__(self, budget: Budget, reasons: Sequence[str], source: random.Random) -> None:
        self._budget = budget
        self._draw = source.random
        self._drawn: dict[str, _Drawn[T]] = {reason: _Drawn() for reason in reasons}
        self._images = self._size_bytes = self._numbers = 0

    @property
    def seen(self) -> dict[str, int]:
        """Items so far, by their reasons."""
        return {reason: drawn.seen for reason, drawn in self._drawn.items()}

    @property
    def kept(self) -> list[tuple[str, T]]:
        """Each reason's in the order in which they came."""
        return [
            (reason, each.item)
            for reason, drawn in self._drawn.items()
            for each in sorted(drawn.kept, key=lambda each: each.number)
        ]

    def offer(self, reason: str, size_bytes: int, make: Callable[[], T]) -> bool:
        """Keeps it, perhaps for a while; `make` is called only then. False for what no budget would hold."""
        drawn = self._drawn[reason]
        drawn.seen += 1
        if size_bytes > self._budget.size_bytes:
            return False
        draw = self._draw()
        if draw < drawn.bound:
            self._numbers += 1
            heapq.heappush(drawn.kept, _Kept(-draw, self._numbers, size_bytes, make()))
            self._add(drawn, 1, size_bytes)
            self._let_go()
        return True

    def _let_go(self) -> None:
        while self._images > self._budget.images:
            self._let_one_go(max(self._drawn.values(), key=lambda drawn: len(drawn.kept)))
        while self._size_bytes > self._budget.size_bytes:
            self._let_one_go(max(self._drawn.values(), key=lambda drawn: drawn.size_bytes))

    def _let_one_go(self, drawn: _Drawn[T]) -> None:
        gone = heapq.heappop(drawn.kept)
        drawn.bound = -gone.minus_draw
        self._add(drawn, -1, -gone.size_bytes)

    def _add(self, drawn: _Drawn[T], images: int, size_bytes: int) -> None:
        drawn.size_bytes += size_bytes
        self._images += images
        self._size_bytes += size_bytes
