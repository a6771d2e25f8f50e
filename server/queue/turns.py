"""Whose turn it is on cores that several share: that of who has had the least of their time."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """Start-time fair queueing (Goyal, Vin and Cheng, 1996), of equal shares.

    Time that somebody did not use while there was nothing to do for them is not saved up: it would hold all
    others up later.
    """

    def __init__(self) -> None:
        self._had_s: dict[K, float] = {}
        self._now_s = 0.0
        """What whoever was last in turn had had by then."""

    def begins_to_wait(self, who: K) -> None:
        """After there was nothing to do for it."""
        self._had_s[who] = max(self._had_s.get(who, 0.0), self._now_s)

    def in_order(self, waiting: Iterable[K]) -> list[K]:
        """Who comes first, and who where that one cannot be served."""
        return sorted(waiting, key=lambda who: self._had_s.get(who, 0.0))

    def takes(self, who: K, seconds: float) -> None:
        """It is its turn, and will need so much."""
        had_s = self._had_s.get(who, 0.0)
        self._now_s = max(self._now_s, had_s)
        self._had_s[who] = had_s + seconds

    def took(self, who: K, expected_s: float, seconds: float) -> None:
        """Its turn is over, and took this instead of what was expected."""
        if who in self._had_s:
            self._had_s[who] += seconds - expected_s

    def leaves(self, who: K) -> None:
        self._had_s.pop(who, None)
