"""One owner of one queue: images that arrive one by one are computed together.

Batching is greedy. While the classifier is busy the next batch forms; when it is free it takes all there
is, up to `max_batch_size`. Nothing polls: the owner wakes when an image arrives, when a batch ends and, with
a queue delay, when the oldest image has waited long enough.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fovea.classifier import Probabilities
from fovea.preprocess import Pixels
from server.errors import ComputeFailed, DeadlinePassed

Compute = Callable[[Pixels], Probabilities]
"""uint8 [n, S, S, 3] -> float32 [n, classes]"""


@dataclass(frozen=True)
class Answer:
    """What the model says of one image, and what it took."""

    probabilities: npt.NDArray[np.float32]
    """[classes]"""
    batch_size: int
    queue_s: float
    compute_s: float
    """Of the whole batch."""


class Batcher:
    """The queue before one classifier. Lives in one event loop; `compute` runs in a thread of its own."""

    def __init__(
        self, compute: Compute, crop_size: int, max_batch_size: int, max_queue_delay_s: float = 0.0
    ) -> None:
        self._compute = compute
        self._max_queue_delay_s = max_queue_delay_s
        self._queue: deque[_Item] = deque()
        self._forming = _Batch(crop_size, max_batch_size)
        self._spare = _Batch(crop_size, max_batch_size)
        self._computing: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._owner = asyncio.create_task(self._own_queue())

    @property
    def queued(self) -> int:
        """Images that wait to be computed."""
        return len(self._queue) + len(self._forming.items)

    async def classify(self, crop: Pixels, deadline: float | None = None) -> Answer:
        """crop: uint8 [S, S, 3]; `deadline` on `time.monotonic`'s clock, after which it is not computed.

        Raises DeadlinePassed, or ComputeFailed when the model failed on the batch that the image was in.
        An image whose caller is cancelled before its batch starts is not computed either.
        """
        item = _Item(crop, deadline, asyncio.get_running_loop().create_future())
        self._queue.append(item)
        self._wake.set()
        return await item.answer

    async def close(self) -> None:
        """Ends the owner of the queue; a batch that is being computed is answered first."""
        self._owner.cancel()
        if self._computing:
            await self._computing
        self._thread.shutdown(wait=False)

    async def _own_queue(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._forming.take_from(self._queue)
            if self._computing is None and self._forming.items and self._is_due():
                self._launch()

    def _is_due(self) -> bool:
        if self._forming.is_full or not self._max_queue_delay_s:
            return True
        due = self._forming.items[0].arrived + self._max_queue_delay_s
        if time.monotonic() >= due:
            return True
        # One wake-up too many is harmless: the owner only looks again.
        asyncio.get_running_loop().call_later(due - time.monotonic(), self._wake.set)
        return False

    def _launch(self) -> None:
        batch = self._forming
        batch.drop_abandoned()
        batch.take_from(self._queue)
        if batch.items:
            self._forming, self._spare = self._spare, batch
            self._computing = asyncio.create_task(self._run(batch))

    async def _run(self, batch: "_Batch") -> None:
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            probabilities = await loop.run_in_executor(self._thread, self._compute, batch.pixels)
            batch.answer(probabilities, started, time.monotonic() - started)
        except Exception as error:  # whatever the model's runtime raises
            batch.fail(error)
        finally:
            batch.items.clear()
            self._computing = None
            self._wake.set()


@dataclass(eq=False)
class _Item:
    """One image in the queue."""

    crop: Pixels
    deadline: float | None
    answer: asyncio.Future[Answer]
    arrived: float = field(default_factory=time.monotonic)

    def is_abandoned(self) -> bool:
        """True when nobody waits for it; one that is past its deadline is told so here."""
        if not self.answer.done() and self.deadline is not None and time.monotonic() >= self.deadline:
            self.answer.set_exception(DeadlinePassed("the deadline passed while the image was queued"))
        return self.answer.done()


class _Batch:
    """Images to be computed together; each is copied to its row when it comes, while the model still runs."""

    def __init__(self, crop_size: int, max_size: int) -> None:
        self.items: list[_Item] = []
        self._max_size = max_size
        self._rows = np.empty((max_size, crop_size, crop_size, 3), np.uint8)

    @property
    def is_full(self) -> bool:
        return len(self.items) == self._max_size

    @property
    def pixels(self) -> Pixels:
        """uint8 [n, S, S, 3]: the rows of the images that are in."""
        return self._rows[: len(self.items)]

    def take_from(self, queue: deque[_Item]) -> None:
        while queue and not self.is_full:
            item = queue.popleft()
            if not item.is_abandoned():
                self._add(item)

    def drop_abandoned(self) -> None:
        kept = [item for item in self.items if not item.is_abandoned()]
        if len(kept) < len(self.items):
            self.items.clear()
            for item in kept:
                self._add(item)

    def answer(self, probabilities: Probabilities, started: float, compute_s: float) -> None:
        for item, row in zip(self.items, probabilities, strict=True):
            if not item.answer.done():
                item.answer.set_result(Answer(row, len(self.items), started - item.arrived, compute_s))

    def fail(self, cause: Exception) -> None:
        for item in self.items:
            if not item.answer.done():
                failure = ComputeFailed(f"the model failed on a batch of {len(self.items)}: {cause}")
                failure.__cause__ = cause
                item.answer.set_exception(failure)

    def _add(self, item: _Item) -> None:
        self._rows[len(self.items)] = item.crop
        self.items.append(item)
