"""A model whose batches end when a test lets them."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.batcher import Batcher
from server.queue.priorities import ItemResult, Priority
from server.queue.worker import Computed, ThreadWorker
from tests.server.event_loop import until

PATIENCE_S = 20


class GatedModel:
    """Answers each number with itself, and each batch only when it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.alone: list[bool] = []
        self.failures: list[Exception] = []
        self.bad: set[int] = set()
        self.seconds = 0.0
        """What each batch is said to have taken."""
        self.is_typical = True
        self._lock = threading.Lock()
        self._started = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)

    def __call__(self, numbers: Sequence[int], is_alone: bool) -> Computed:
        with self._lock:
            self.batches.append(list(numbers))
            self.alone.append(is_alone)
        self._started.release()
        assert self._gate.acquire(timeout=PATIENCE_S)
        if self.failures:
            raise self.failures.pop()
        outcomes = [ValueError("bad") if n in self.bad else np.array([n], np.float32) for n in numbers]
        return Computed(outcomes, [0.0] * len(numbers), self.seconds, self.seconds, self.is_typical)

    async def started(self) -> None:
        """Waits until one more batch is being computed."""
        assert await asyncio.to_thread(self._started.acquire, timeout=PATIENCE_S)

    def let_through(self, batches: int = 100_000) -> None:
        self._gate.release(batches)


def batcher_of(
    model: GatedModel,
    max_batch_size: int = 4,
    *,
    costs: CostModel | None = None,
    target_batch_s: float = float("inf"),
    concurrency: int = 1,
    min_efficient_batch: int = 1,
    prefetch: int = 0,
    max_queue_delay_s: float = 0.0,
    on_batch: Callable[[int, float], None] = lambda images, compute_s: None,
    clock: Callable[[], float] = time.monotonic,
) -> Batcher[int]:
    limits = BatchLimits(max_batch_size, concurrency, target_batch_s, min_efficient_batch, max_queue_delay_s)
    workers = [ThreadWorker(model) for _ in range(concurrency + prefetch)]
    return Batcher(workers, limits, costs, on_batch, clock)


async def busy(model: GatedModel, batcher: Batcher[int]) -> asyncio.Task[ItemResult]:
    """The batcher's model computes image 0 until it is let through."""
    (first,) = submit(batcher, 0)
    await model.started()
    return first


def submit(
    batcher: Batcher[int],
    *numbers: int,
    deadline: float | None = None,
    priority: Priority = Priority.INTERACTIVE,
) -> list[asyncio.Task[ItemResult]]:
    return [asyncio.create_task(batcher.classify(number, deadline, priority)) for number in numbers]


async def queued(batcher: Batcher[int], count: int) -> None:
    """Waits until so many images are queued."""
    await until(lambda: batcher.queued == count)


def values(answers: list[ItemResult]) -> list[int]:
    return [int(answer.row[0]) for answer in answers]
