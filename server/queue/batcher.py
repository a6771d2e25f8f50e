"""One owner of one queue: images that arrive one by one are computed together.

Batching is greedy. While the workers are busy the next batch forms; one that is free takes all there is, up
to a limit. Where batches are short, a worker gets the next one in hand while it computes, as soon as it is
full: it need not wait then for the event loop, which has calls to answer. Nothing polls: the owner looks when
an image arrives, when a batch ends and, with a queue delay, when the oldest image has waited long enough.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Generic, TypeVar

from server.errors import Draining, NoModelReady
from server.queue.batch_policy import BatchLimits, BatchPolicy, CostModel
from server.queue.priorities import Item, ItemResult, Priority, PriorityQueue
from server.queue.worker import Batch, Computed, NeverBegun, Others, Worker, WorkerDied

P = TypeVar("P")


class Batcher(Generic[P]):
    """The queue before one model. Belongs to the event loop that it is made in."""

    def __init__(
        self,
        workers: Sequence[Worker[P]],
        limits: BatchLimits,
        costs: CostModel | None = None,
        on_batch: Callable[[int, float], None] = lambda images, compute_s: None,
        clock: Callable[[], float] = time.monotonic,
        others: Others | None = None,
    ) -> None:
        """A lone image goes to the first worker. `on_batch` is told each batch's good images and seconds."""
        self._others = others
        self._on_batch = on_batch
        self.workers = workers
        self._limits = limits
        self._costs = costs or CostModel(clock=clock)
        self._clock = clock
        self._policy = BatchPolicy(limits, self._costs, clock, others)
        self._queue: PriorityQueue[P] = PriorityQueue()
        self._free: list[Worker[P]] = []
        self._running: dict[Worker[P], Batch[P]] = {}
        self._in_hand: dict[Worker[P], Batch[P]] = {}
        """What a worker computes after the batch that is running."""
        self._loop = asyncio.get_running_loop()
        self._look_is_due = False
        self._delay_is_over: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._lost: set[Worker[P]] = set()
        self._why_lost = ""
        self.on_workers_changed: Callable[[], None] = lambda: None
        """Is told when `has_workers` changes."""
        self.waits_for_workers = False
        """Images that come while every worker is being replaced wait too, where one is expected back."""
        for worker in workers:
            worker.attach(self)

    @property
    def has_workers(self) -> bool:
        """False while every worker is being replaced."""
        return len(self._lost) < len(self.workers)

    @property
    def is_spare(self) -> bool:
        """A core is idle: no image waits, none takes all cores, and one that comes now is begun at once."""
        return self._is_idle() and not any(batch.is_alone for batch in self._running.values())

    @property
    def queued(self) -> int:
        """Images that no worker has yet."""
        return len(self._queue)

    @property
    def queued_s(self) -> float:
        """See `server.queue.worker.Owner`."""
        return self._policy.work_s(len(self._queue))

    @property
    def running(self) -> int:
        """Images that the workers have."""
        return sum(len(batch.items) for batch in (*self._running.values(), *self._in_hand.values()))

    async def classify(
        self, payload: P, deadline: float | None = None, priority: Priority = Priority.INTERACTIVE
    ) -> ItemResult:
        """`deadline` is on the batcher's clock; what cannot be ready by then is not computed.

        Raises DeadlinePassed at once or from the queue, ComputeFailed when the model failed on the batch that
        the image was in, Draining after `close`, or what is wrong with this image.
        An image whose caller is cancelled before a worker has it is not computed either.
        """
        item = self.put(payload, deadline, priority)
        try:
            return await item.answer
        except asyncio.CancelledError:
            self._queue.discard(item)
            raise
        finally:
            del item  # a failure's traceback holds this frame, and with it the image that holds the failure

    def put(
        self, payload: P, deadline: float | None = None, priority: Priority = Priority.INTERACTIVE
    ) -> Item[P]:
        """In the queue, with the future of its answer. Raises DeadlinePassed, NoModelReady, Draining."""
        if self._is_closed:
            raise Draining("this model's queue is closed")
        self.check_deadline(deadline, priority)
        item = Item(payload, priority, deadline, self._loop.create_future(), self._clock())
        self._queue.put(item)
        self._look_soon()
        return item

    def give_up(self, item: Item[P]) -> None:
        """Nobody waits for it. Its future ends, cancelled or not, when no worker has it any more."""
        item.is_given_up = True
        if self._queue.discard(item):
            item.answer.cancel()

    def check_deadline(self, deadline: float | None, priority: Priority) -> None:
        """Raises DeadlinePassed where it cannot be met, NoModelReady while every worker is being replaced."""
        if not self.has_workers and (self._why_lost or not self.waits_for_workers):
            raise NoModelReady(self._why_lost or "the processes that compute are being started again")
        if deadline is not None:
            ahead = None if self._is_idle() else self._ahead_of(priority)
            self._policy.check_deadline(deadline, self._running.values(), ahead)

    def wait_s(self, priority: Priority = Priority.INTERACTIVE) -> float:
        """From now until an image that comes now would be answered, as far as can be foreseen."""
        return self._policy.wait_s(self._running.values(), self._ahead_of(priority))

    async def close(self) -> None:
        """Refuses what is queued and ends the workers, whatever they do."""
        self._is_closed = True
        self._queue.refuse(Draining, "the server is shutting down")
        await asyncio.gather(*(worker.end() for worker in self.workers))

    def available(self, worker: Worker[P]) -> None:
        """See `server.queue.worker.Owner`."""
        self._free.append(worker)
        self._look_soon()
        if worker in self._lost:
            had_workers = self.has_workers
            self._lost.remove(worker)
            if not had_workers:
                self.on_workers_changed()

    def lost(self, worker: Worker[P], why: str = "") -> None:
        """See `server.queue.worker.Owner`."""
        had_workers, self._why_lost = self.has_workers, why
        self._lost.add(worker)
        if worker in self._free:
            self._free.remove(worker)
        if had_workers and not self.has_workers:
            self.on_workers_changed()
        self._look_soon()

    def finished(self, batch: Batch[P], result: Computed | Exception) -> None:
        """See `server.queue.worker.Owner`."""
        is_suspect = self._put_away(batch)
        if isinstance(result, WorkerDied) and not self._is_closed:
            self._try_again(batch, result, is_suspect and not isinstance(result, NeverBegun))
        elif isinstance(result, Exception):
            batch.fail(result)
        else:
            self._answer(batch, result)
        self._look_soon()

    def _ahead_of(self, priority: Priority) -> int:
        """Images that are computed before one that comes now, and after the batches that are running."""
        in_hand = sum(len(batch.items) for batch in self._in_hand.values())
        return in_hand + self._queue.ahead_of(priority)

    def _put_away(self, batch: Batch[P]) -> bool:
        """Its worker goes on to the one in hand, or is free; False where this was the one in hand."""
        worker = next(
            worker
            for worker in self.workers
            if batch in (self._running.get(worker), self._in_hand.get(worker))
        )
        following = self._in_hand.pop(worker, None)
        if following is batch:
            return False
        del self._running[worker]
        if following is not None:
            following.started = self._clock()
            self._running[worker] = following
        elif worker not in self._lost:
            self._free.append(worker)
        return True

    def _try_again(self, batch: Batch[P], cause: WorkerDied, is_suspect: bool) -> None:
        """Once, and one by one: if it was one of the images that did it, then only that one fails."""
        for item in reversed(batch.items):
            if item.is_suspect and is_suspect:
                batch.fail(cause)
            elif item.is_given_up:
                item.answer.cancel()
            elif not item.is_abandoned():
                item.is_suspect |= is_suspect
                self._queue.put_back(item)

    def _look_soon(self) -> None:
        """In the next turn of the loop, so that all that came in this one goes together."""
        if not self._look_is_due:
            self._look_is_due = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._look_is_due = False
        if self._why_lost and not self.has_workers:
            self._queue.refuse(NoModelReady, self._why_lost)
        while self._queue and self._can_start() and self._is_due():
            if items := self._take(self._share(), self._clock()):
                self._start(items)
        while self._policy.fills_a_hand(len(self._queue)) and (worker := self._next_to_be_free()):
            if not self._hand_over(worker):
                break

    def _is_idle(self) -> bool:
        return not self._queue and self._can_start() and not (self._others and self._others.is_busy)

    def _can_start(self) -> bool:
        """A batch more may be computed, or a full one be prepared for when one more may."""
        is_full = len(self._queue) >= self._limits.max_batch_size
        return bool(self._free) and (len(self._running) < self._limits.concurrency or is_full)

    def _is_due(self) -> bool:
        if not self._limits.max_queue_delay_s or len(self._queue) >= self._limits.max_batch_size:
            return True
        due = self._policy.due(self._queue)
        now = self._clock()
        if now >= due:
            return True
        if self._delay_is_over is not None:
            self._delay_is_over.cancel()
        self._delay_is_over = self._loop.call_later(due - now, self._look_soon)
        return False

    def _share(self) -> int:
        """Batches that can be computed at the same time share what there is."""
        free = max(1, self._limits.concurrency - len(self._running))
        return min(self._policy.batch_limit(), math.ceil(len(self._queue) / free))

    def _next_to_be_free(self) -> Worker[P] | None:
        """The soonest of those with nothing in hand; None where one is free, that waits for more images."""
        now = self._clock()
        able = [
            (batch.remaining_s(now), worker)
            for worker, batch in self._running.items()
            if worker.capacity > 1 and worker not in self._in_hand and worker not in self._lost
        ]
        return None if self._free else min(able, key=itemgetter(0), default=(0.0, None))[1]

    def _hand_over(self, worker: Worker[P]) -> bool:
        """False where nothing could be computed by its deadline then; an earlier worker still may."""
        now = self._clock()
        items = self._take(self._policy.batch_limit(), now + self._running[worker].remaining_s(now))
        if items:
            self._give(worker, items, self._in_hand, is_alone=False)
        return bool(items)

    def _take(self, size: int, begins: float) -> list[Item[P]]:
        return self._policy.take(self._queue, size, begins, is_idle=not self._running)

    def _start(self, items: list[Item[P]]) -> None:
        is_alone = len(items) == 1 and not self._queue and not self._running
        lone_worker = self.workers[0]
        worker = lone_worker if is_alone and lone_worker in self._free else self._free[-1]
        self._free.remove(worker)
        self._give(worker, items, self._running, is_alone=is_alone)

    def _give(
        self, worker: Worker[P], items: list[Item[P]], batches: dict[Worker[P], Batch[P]], *, is_alone: bool
    ) -> None:
        batch = Batch(items, is_alone, self._costs.predict_s(len(items)), self._clock())
        batches[worker] = batch
        worker.start(batch)

    def _answer(self, batch: Batch[P], result: Computed) -> None:
        for item, outcome, decode_s in zip(batch.items, result.outcomes, result.decode_s, strict=True):
            if item.is_abandoned():
                continue
            if isinstance(outcome, Exception):
                item.answer.set_exception(outcome)
            else:
                queue_s = batch.started - item.arrived
                item.answer.set_result(
                    ItemResult(outcome, len(batch.items), queue_s, decode_s, result.compute_s)
                )
        good = sum(not isinstance(outcome, Exception) for outcome in result.outcomes)
        if good:
            self._on_batch(good, result.compute_s)
        if result.is_typical:
            self._costs.observe(len(batch.items), result.seconds)
