"""A gate that is closed once, for all who wait for what would come through it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Gate:
    """Is open at first. Used from one event loop alone."""

    def __init__(self) -> None:
        self.is_open = True
        self._until_closed: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def while_open(self, refusal: Callable[[], Exception]) -> AsyncIterator[None]:
        """`close` ends what is done in the block, and the refusal is raised."""
        limit = asyncio.timeout(None if self.is_open else 0)
        try:
            async with limit:
                self._until_closed.add(limit)
                try:
                    yield
                finally:
                    self._until_closed.discard(limit)
        except TimeoutError:
            if not limit.expired():
                raise
            raise refusal() from None

    def close(self) -> None:
        self.is_open = False
        for limit in self._until_closed:
            limit.reschedule(0)
        self._until_closed.clear()
