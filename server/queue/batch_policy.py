"""What can be foreseen of batches: how large they should be, how long images wait, what will be too late."""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from server.errors import DeadlinePassed
from server.queue.cost_model import CostModel
from server.queue.priority_queue import PriorityQueue
from server.queue.worker import Batch

SAFETY_FACTOR: Final = 1.5
"""Whoever is admitted with a deadline shall be answered by then, though batches differ in what they take.

When a flood begins, what it costs to refuse it slows the batches that were admitted before: by a quarter on
two cores.
"""


@dataclass(frozen=True)
class BatchLimits:
    """What batches may be."""

    max_batch_size: int
    concurrency: int = 1
    """Batches computed at the same time. Workers beyond that prepare a full batch for the next one free."""
    target_batch_s: float = math.inf
    """A batch is not made larger than takes so long,"""
    min_efficient_batch: int = 1
    """or than this, up to which the model is faster the more images it has."""
    max_queue_delay_s: float = 0.0
    """How long a batch that is not full waits for more."""


class BatchPolicy:
    """What the costs so far say of batches to come, within the limits."""

    def __init__(
        self, limits: BatchLimits, costs: CostModel, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` is the one that arrivals, starts of batches and deadlines are on."""
        self._limits = limits
        self._costs = costs
        self._clock = clock

    def batch_limit(self) -> int:
        """How many images a batch has at most."""
        size = max(self._limits.min_efficient_batch, self._costs.images_within(self._limits.target_batch_s))
        return min(self._limits.max_batch_size, size)

    def wait_s(self, running: Collection[Batch[Any]], ahead: int) -> float:
        """Until an image is answered that comes after the running batches and those ahead in the queue."""
        size = self.batch_limit()
        now = self._clock()
        busy = [batch.remaining_s(now) for batch in running]
        soonest = 0.0 if len(busy) < self._limits.concurrency else min(busy)
        per_image = self._costs.predict_s(size) / size / self._limits.concurrency
        return soonest + ahead * per_image + self._costs.predict_s(1)

    def check_deadline(self, deadline: float, running: Collection[Batch[Any]], ahead: int | None) -> None:
        """Raises DeadlinePassed where it cannot be met; `ahead` is None before an idle worker."""
        remaining = deadline - self._clock()
        # Before an idle worker only the fastest time counts: an estimate that is too high must be tested.
        needed = self._costs.least_s if ahead is None else SAFETY_FACTOR * self.wait_s(running, ahead)
        if remaining <= 0:
            raise DeadlinePassed("the deadline passed before the image could be queued")
        if needed > remaining:
            left = f"{remaining * 1000:.1f} ms are left"
            raise DeadlinePassed(f"the answer would take {needed * 1000:.1f} ms, but {left} of the deadline")

    def is_late(self, now: float, deadline: float, *, is_lone: bool) -> bool:
        """It has passed, or would, though a batch of this image alone began now."""
        needed = self._costs.least_s if is_lone else self._costs.predict_s(1)
        return now >= deadline or now + needed > deadline

    def due(self, queue: PriorityQueue[Any]) -> float:
        """When a batch of what is queued begins though it is not full."""
        needed = SAFETY_FACTOR * self._costs.predict_s(len(queue))
        earliest = min((item.deadline for item in queue if item.deadline), default=math.inf)
        return min(queue.oldest_arrival() + self._limits.max_queue_delay_s, earliest - needed)
