"""What computes batches, one at a time, apart from the event loop."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from server.errors import ComputeFailed
from server.queue.priorities import Item

P = TypeVar("P")


class WorkerDied(Exception):
    """What computed a batch is gone; it may have been because of one of the images."""


class NeverBegun(WorkerDied):
    """What was to compute a batch is gone, which had not begun with it: none of the images is the reason."""


@dataclass(frozen=True)
class Computed:
    """What came of a batch, image by image in its order."""

    outcomes: Sequence[npt.NDArray[np.float32] | Exception]
    """The image's row, see `server.compute.wants`, or what is wrong with that image alone."""
    decode_s: Sequence[float]
    compute_s: float
    """In the model."""
    seconds: float
    """In all, without waiting for another batch."""
    is_typical: bool = True
    """False where it tells nothing of other batches: a lone image on all cores, a bad image."""


@dataclass(eq=False)
class Batch(Generic[P]):
    """Items that are computed together, in the order in which they were taken."""

    items: list[Item[P]]
    is_alone: bool
    """There is no other image in the server."""
    expected_s: float
    started: float
    """On the clock of whoever owns the queue, as `now` is; of one that waits with its worker, when it was
    given to it."""

    def remaining_s(self, now: float) -> float:
        return max(0.0, self.started + self.expected_s - now)

    def fail(self, cause: Exception) -> None:
        """As a whole."""
        for item in self.items:
            if not item.is_abandoned():
                failure = ComputeFailed(f"the model failed on a batch of {len(self.items)}: {cause}")
                failure.__cause__ = cause
                item.answer.set_exception(failure)


class Others(Protocol):
    """Other queues before the same workers, which take turns by time."""

    @property
    def is_busy(self) -> bool:
        """A batch that is given to a worker now has to wait."""

    def wait_s(self, ahead_s: float, own_s: float) -> float:
        """Until a batch of so many seconds begins that comes after so many of its own queue.

        Those that its queue's workers have are not counted in `ahead_s`.
        """


class Owner(Protocol[P]):
    """Who gives a worker its batches; is told in the event loop."""

    @property
    def queued_s(self) -> float:
        """What is queued would take a worker so long."""

    def finished(self, batch: Batch[P], result: Computed | Exception) -> None:
        """The batch was computed, or failed as a whole: its worker, unless it is lost, can take another."""

    def available(self, worker: "Worker[P]") -> None:
        """The worker can take batches, and has none."""

    def lost(self, worker: "Worker[P]", why: str = "") -> None:
        """The worker cannot take a batch until it is available again; those that it has are yet to fail, the
        last one first.

        `why` is given where that may take long: what is queued is refused with it, if there is no other.
        """


class Worker(Protocol[P]):
    """Computes one batch at a time."""

    capacity: int
    """Batches that it can be given: 1, or 2 where the second waits with it for the end of the first."""

    def attach(self, owner: Owner[P]) -> None:
        """The worker begins to work for this owner."""

    def start(self, batch: Batch[P]) -> None:
        """Is only called while the worker has fewer than its capacity."""

    async def end(self) -> None:
        """It takes no more batches; one that it computes may be lost."""


Compute = Callable[[Sequence[P], bool], Computed]
"""Computes payloads; the second argument says that there is no other image in the server."""


class ThreadWorker(Generic[P]):
    """A daemon thread: a device that hangs cannot hold up the end of the process."""

    def __init__(self, compute: Compute[P], name: str = "compute", capacity: int = 1) -> None:
        self.capacity = capacity
        self._compute = compute
        self._name = name
        self._inbox: SimpleQueue[Batch[P] | None] = SimpleQueue()

    def attach(self, owner: Owner[P]) -> None:
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, args=(loop, owner), name=self._name, daemon=True).start()
        owner.available(self)

    def start(self, batch: Batch[P]) -> None:
        self._inbox.put(batch)

    async def end(self) -> None:
        self._inbox.put(None)

    def _work(self, loop: asyncio.AbstractEventLoop, owner: Owner[P]) -> None:
        while (batch := self._inbox.get()) is not None:
            result: Computed | Exception
            try:
                result = self._compute([item.payload for item in batch.items], batch.is_alone)
            except Exception as error:  # whatever the model's runtime raises
                result = error
            try:
                loop.call_soon_threadsafe(owner.finished, batch, result)
            except RuntimeError:  # the loop was closed: nobody waits any longer
                break
            del batch, result  # images are not to be kept until the next batch comes
        del self._compute  # the model's memory is not to wait for whoever still knows this worker
