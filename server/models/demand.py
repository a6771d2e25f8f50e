"""Looks for a newer version that callers ask for: one for all who ask meanwhile, one a second at most."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

EVERY_S: Final = 1.0


class Demand:
    """Lives in the event loop of whoever looks."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` makes whoever looks do so soon."""
        self._wake = wake
        self._met: asyncio.Future[None] | None = None
        self._looked_at = -math.inf

    async def look(self) -> None:
        """Returns when a look that began from now on is over."""
        met = self._met = self._met or asyncio.get_running_loop().create_future()
        wait_s = self._looked_at + EVERY_S - time.monotonic()
        if wait_s > 0:
            await asyncio.wait([met], timeout=wait_s)
        if self._met is met:  # else a look has begun by itself meanwhile
            self._wake()
        await asyncio.shield(met)

    @contextmanager
    def being_met(self) -> Iterator[None]:
        """Surrounds a look."""
        met, self._met = self._met, None
        self._looked_at = time.monotonic()
        try:
            yield
        finally:
            if met is not None and not met.done():
                met.set_result(None)
