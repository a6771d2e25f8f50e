"""A line in the log while something takes long, for whoever has no bar to look at."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 30.0


class ProgressLog:
    """Tells every 30 s how far something is, and nothing of what is over before."""

    def __init__(
        self, doing: str, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._doing = doing
        self._total = total
        self._done = done
        self._clock = clock
        self._told = clock()

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        now = self._clock()
        if now - self._told >= INTERVAL_S:
            self._told = now
            logger.info("%s: %d of %d", self._doing, self._done, self._total)


def logged(
    items: Iterable[T], doing: str, total: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[T]:
    """The items, with a line every 30 s of how many were asked for."""
    progress = ProgressLog(doing, total, clock=clock)
    for item in items:
        yield item
        progress.advance()
