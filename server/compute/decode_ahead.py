"""Threads that decode images while a device computes others."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from server.compute.backend import Decode, WorkItem
from server.errors import DeadlinePassed


class AheadDecoder:
    """Decodes images before they are queued, so that a batch is ready for the device when it is free."""

    def __init__(self, decode: Decode, threads: int) -> None:
        self._decode = decode
        self._threads = ThreadPoolExecutor(threads, "decode")

    async def decode(self, item: WorkItem, deadline: float | None) -> None:
        """The item keeps its crop. `deadline` is on `time.monotonic`'s clock.

        Raises DeadlinePassed where it passed before a thread was free, or what is wrong with the image.
        """
        if not item.is_crop:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._decode_in_time, item, deadline)

    def close(self) -> None:
        """What waits for a thread is not decoded any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decode_in_time(self, item: WorkItem, deadline: float | None) -> None:
        if deadline is not None and time.monotonic() >= deadline:
            raise DeadlinePassed("the deadline passed before the image was decoded")
        outcome = item.decode(self._decode)
        if isinstance(outcome, Exception):
            raise outcome
