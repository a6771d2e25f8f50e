"""How much may be in flight at once. What does not fit is refused at once, never made to wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from server.errors import Draining, QueueFull
from server.queue.priorities import Priority

BULK_SHARE: Final = 0.75
"""Of the room, that bulk images may take: interactive ones always find some."""


class Admission:
    """Counts the images in flight, and their bytes, from before they are decoded until they are answered.

    It is the server's own count because gRPC's limit on calls would refuse health checks too.
    Used from the event loop alone.
    """

    def __init__(self, max_images: int, max_bytes: int) -> None:
        self.images = 0
        self.bytes = 0
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._open = True
        self._bulk_images = 0
        self._bulk_bytes = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._until_closed: set[asyncio.Timeout] = set()
        self.last_refusal = 0.0
        """When `close` last was the reason to refuse something, on `time.monotonic`'s clock."""

    @contextmanager
    def admit(
        self,
        images: int,
        size_bytes: int,
        priority: Priority = Priority.INTERACTIVE,
        retry_after_s: Callable[[], float] = lambda: 0.1,
    ) -> Iterator[None]:
        """Holds room for this many images and bytes. Raises Draining, or QueueFull with `retry_after_s`."""
        if not self._open:
            raise self._draining()
        if why := self._why_full(images, size_bytes, priority):
            raise QueueFull(why, retry_after_s())
        self._add(images, size_bytes, priority)
        try:
            yield
        finally:
            self._add(-images, -size_bytes, priority)

    @asynccontextmanager
    async def while_open(self) -> AsyncIterator[None]:
        """For waiting for what is to be admitted: `close` ends the wait, and Draining is raised."""
        limit = asyncio.timeout(None if self._open else 0)
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
            raise self._draining() from None

    def close(self) -> None:
        """From now on nothing is admitted; what is in flight goes on."""
        self._open = False
        for limit in self._until_closed:
            limit.reschedule(0)
        self._until_closed.clear()

    async def empty(self) -> None:
        """Waits until nothing is in flight."""
        await self._is_empty.wait()

    def _draining(self) -> Draining:
        self.last_refusal = time.monotonic()
        return Draining("the server is shutting down; another replica will answer")

    def _add(self, images: int, size_bytes: int, priority: Priority) -> None:
        self.images += images
        self.bytes += size_bytes
        if priority is Priority.BULK:
            self._bulk_images += images
            self._bulk_bytes += size_bytes
        if self.images:
            self._is_empty.clear()
        else:
            self._is_empty.set()

    def _why_full(self, images: int, size_bytes: int, priority: Priority) -> str:
        if self.images + images > self._max_images:
            return f"{self.images} images are in flight, of {self._max_images}; {images} more do not fit"
        if self.bytes + size_bytes > self._max_bytes:
            return f"{self.bytes} bytes are in flight, of {self._max_bytes}; {size_bytes} more do not fit"
        # A call larger than the share is admitted when no other bulk one is in flight.
        if priority is Priority.BULK and self._bulk_images:
            if self._bulk_images + images > self._max_images * BULK_SHARE:
                return f"{self._bulk_images} images of bulk calls are in flight; {images} more do not fit"
            if self._bulk_bytes + size_bytes > self._max_bytes * BULK_SHARE:
                return f"{self._bulk_bytes} bytes of bulk calls are in flight; {size_bytes} more do not fit"
        return ""
