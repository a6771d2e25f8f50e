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
        self, doing: str, total: int | None, done: int = 0, clock: Callable[[], float] = time.monotonic
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
            total = "" if self._total is None else f" of {self._total}"
            logger.info("%s: %d%s", self._doing, self._done, total)


def logged(
    items: Iterable[T],
    doing: str,
    total: int | None = None,
    every: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """The items, with a line every 30 s of how many were asked for; of `every` items one reads the clock."""
    progress = ProgressLog(doing, total, clock=clock)
    for count, item in enumerate(items, 1):
        yield item
        if count % every == 0:
            progress.advance(every)
