"""What can be foreseen of batches: how large they should be, how long images wait, what will be too late.

It rests on what a batch takes: seconds = a * images + b, fitted to the batches that were seen.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from server.errors import DeadlinePassed
from server.queue.priorities import Item, PriorityQueue
from server.queue.worker import Batch, Others

P = TypeVar("P")

SAFETY_FACTOR: Final = 1.5
"""Whoever is admitted with a deadline shall be answered by then, though batches differ in what they take.

When a flood begins, what it costs to refuse it slows the batches that were admitted before: by a quarter on
two cores.
"""

MEMORY_S: Final = 3.0
"""A batch counts less by a factor of e after this long, in what batches are expected to take."""

MANY: Final = 1024


@dataclass(frozen=True)
class BatchLimits:
    """What batches may be."""

    max_batch_size: int
    concurrency: int = 1
    """Batches computed at the same time. Workers beyond that prepare a full batch for the next one free."""
    target_batch_s: float = math.inf
    """A batch is not made larger than takes so long,"""
    min_efficient_batch: int = 1
    """or than this, up to which the model is faster the more images it has; larger are multiples of it."""
    max_queue_delay_s: float = 0.0
    """How long a batch that is not full waits for more."""


class BatchPolicy:
    """What the costs so far say of batches to come, within the limits."""

    def __init__(
        self,
        limits: BatchLimits,
        costs: "CostModel",
        clock: Callable[[], float] = time.monotonic,
        others: Others | None = None,
    ) -> None:
        """`clock` is the one that arrivals, starts of batches and deadlines are on."""
        self._others = others
        self._limits = limits
        self._costs = costs
        self._clock = clock

    def batch_limit(self) -> int:
        """How many images a batch has at most."""
        most, efficient = self._limits.max_batch_size, self._limits.min_efficient_batch
        size = min(most, self._costs.images_within(self._limits.target_batch_s))
        return min(most, max(efficient, size - size % efficient))

    def fills_a_hand(self, queued: int) -> bool:
        """So many are a full batch more, which is so short that a pause before it would count."""
        size = self.batch_limit()
        return queued >= size and self._costs.predict_s(size) <= self._limits.target_batch_s

    def work_s(self, images: int) -> float:
        """What so many take a worker, in batches as large as may be."""
        size = self.batch_limit()
        return images * self._costs.predict_s(size) / size

    def wait_s(self, running: Collection[Batch[Any]], ahead: int) -> float:
        """Until an image is answered that comes after the running batches and those ahead in the queue."""
        own_s = self._costs.predict_s(1)
        if self._others is not None:
            return self._others.wait_s(self.work_s(ahead), own_s) + own_s
        now = self._clock()
        busy = [batch.remaining_s(now) for batch in running]
        soonest = 0.0 if len(busy) < self._limits.concurrency else min(busy)
        return soonest + self.work_s(ahead) / self._limits.concurrency + own_s

    def check_deadline(self, deadline: float, running: Collection[Batch[Any]], ahead: int | None) -> None:
        """Raises DeadlinePassed where it cannot be met; `ahead` is None before an idle worker."""
        remaining = deadline - self._clock()
        # Before an idle worker only the fastest time counts: an estimate that is too high must be tested.
        needed = self._costs.least_s if ahead is None else SAFETY_FACTOR * self.wait_s(running, ahead)
        if remaining <= 0:
            raise DeadlinePassed("the deadline passed before the image could be queued", remaining)
        if needed > remaining:
            left = f"{remaining * 1000:.1f} ms are left"
            why = f"the answer would take {needed * 1000:.1f} ms, but {left} of the deadline"
            raise DeadlinePassed(why, remaining)

    def is_late(self, now: float, deadline: float, *, is_lone: bool) -> bool:
        """It has passed, or would, though a batch of this image alone began now."""
        needed = self._costs.least_s if is_lone else self._costs.predict_s(1)
        return now >= deadline or now + needed > deadline

    def take(self, queue: PriorityQueue[P], size: int, begins: float, *, is_idle: bool) -> list[Item[P]]:
        """Up to `size` images of a batch that begins then, as many as let the earliest deadline hold.

        Those that are late are refused on the way. `is_idle`: no batch is being computed.
        """
        items: list[Item[P]] = []
        now, earliest = self._clock(), math.inf
        while len(items) < size and (item := queue.next()):
            deadline = math.inf if item.deadline is None else item.deadline
            if self.is_late(now, deadline, is_lone=is_idle and len(queue) <= 1):
                queue.take(item)
                item.refuse("the deadline passed, or would pass, before the image is computed")
                continue
            is_first = not items and begins <= now
            if not is_first and begins + self._costs.predict_s(len(items) + 1) > min(earliest, deadline):
                break
            if items and (item.is_suspect or items[0].is_suspect):
                break
            queue.take(item)
            earliest = min(earliest, deadline)
            items.append(item)
        return items

    def due(self, queue: PriorityQueue[Any]) -> float:
        """When a batch of what is queued begins though it is not full."""
        needed = SAFETY_FACTOR * self._costs.predict_s(len(queue))
        earliest = min((item.deadline for item in queue if item.deadline), default=math.inf)
        return min(queue.oldest_arrival() + self._limits.max_queue_delay_s, earliest - needed)


class CostModel:
    """A running fit that forgets: what a batch takes depends on what else the machine does.

    What the warm-up saw is never forgotten, only outweighed while there are newer batches. So one hiccup
    cannot make the server refuse for ever all that has a deadline: with nothing computed the old estimate
    returns.
    """

    def __init__(
        self,
        warm_up: Iterable[tuple[int, float]] = (),
        least_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`warm_up`: (images, seconds) of batches; `least_s`: the seconds of a lone image at its fastest."""
        self.least_s = least_s
        self._clock = clock
        self._warm_up = _Sums()
        for images, seconds in warm_up:
            self._warm_up.add(images, seconds)
        self._recent = _Sums()
        self._at = clock()
        self._line = self._warm_up.line()

    def observe(self, images: int, seconds: float) -> None:
        """A batch that was just computed."""
        self._forget()
        self._recent.add(images, seconds)
        self._line = self._warm_up.line(self._recent)

    def predict_s(self, images: int) -> float:
        """Of a batch with so many images; 0 while nothing was seen."""
        if self._clock() - self._at > 1:  # the fit is renewed by each batch, or else once a second
            self._forget()
            self._line = self._warm_up.line(self._recent)
        slope, intercept = self._line
        return slope * images + intercept

    def images_within(self, seconds: float) -> int:
        """How many images a batch of that many seconds has, from 1 to MANY."""
        slope, intercept = self._line
        return max(1, int(min((seconds - intercept) / slope, MANY))) if slope else MANY

    def _forget(self) -> None:
        now = self._clock()
        self._recent.scale(math.exp((self._at - now) / MEMORY_S))
        self._at = now


class _Sums:
    """What least squares needs of points (images, seconds), each with a weight."""

    def __init__(self) -> None:
        self.weight = self.images = self.images_squared = self.seconds = self.product = 0.0

    def add(self, images: int, seconds: float) -> None:
        self.weight += 1
        self.images += images
        self.images_squared += images * images
        self.seconds += seconds
        self.product += images * seconds

    def scale(self, factor: float) -> None:
        self.weight *= factor
        self.images *= factor
        self.images_squared *= factor
        self.seconds *= factor
        self.product *= factor

    def line(self, other: "_Sums | None" = None) -> tuple[float, float]:
        """Slope and intercept of the best line through these points and the other's, neither below 0."""
        both = _Sums()
        for sums in (self, other) if other else (self,):
            both.weight += sums.weight
            both.images += sums.images
            both.images_squared += sums.images_squared
            both.seconds += sums.seconds
            both.product += sums.product
        return _line(both) if both.weight > 1e-9 else (0.0, 0.0)


def _line(sums: _Sums) -> tuple[float, float]:
    spread = sums.weight * sums.images_squared - sums.images**2
    if spread <= 1e-9 * sums.weight * sums.images_squared:  # all of one size: taken as proportional
        return sums.seconds / sums.images, 0.0
    slope = (sums.weight * sums.product - sums.images * sums.seconds) / spread
    intercept = (sums.seconds - slope * sums.images) / sums.weight
    if slope < 0:
        return 0.0, sums.seconds / sums.weight
    if intercept < 0:
        return sums.product / sums.images_squared, 0.0
    return slope, intercept
