"""A model in a pool: the batches that wait for it, where it is loaded, and its shares of the processes."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from server.compute.backend import WorkItem
from server.compute.restarts import Restarts
from server.compute.seat import Seat
from server.compute.start_up import ProcessSettings
from server.queue.worker import Batch, Computed, NeverBegun, Owner


class Pool(Protocol):
    """Whom a slot belongs to."""

    def submit(self, slot: "Slot", share: "Share", batch: Batch[WorkItem]) -> None:
        """A batch to be computed."""

    def remove(self, slot: "Slot") -> None:
        """It takes no more batches."""


class Share:
    """What a model's queue hands its batches to, as to a worker that has a core."""

    capacity = 1

    def __init__(self, slot: "Slot", pool: Pool) -> None:
        self._slot = slot
        self._pool = pool
        self.owner: Owner[WorkItem] | None = None
        self.is_lost = False

    def attach(self, owner: Owner[WorkItem]) -> None:
        self.owner = owner
        if self._slot.is_able:
            owner.available(self)
        else:
            self.lose(self._slot.hindrance)

    def start(self, batch: Batch[WorkItem]) -> None:
        self._pool.submit(self._slot, self, batch)

    async def end(self) -> None:
        self._pool.remove(self._slot)

    def lose(self, why: str) -> None:
        if self.owner is not None:
            self.is_lost = True
            self.owner.lost(self, why)

    def regain(self) -> None:
        if self.owner is not None and self.is_lost:
            self.is_lost = False
            self.owner.available(self)


@dataclass(frozen=True)
class Waiting:
    """A batch that no process has yet."""

    share: Share
    batch: Batch[WorkItem]
    expected_s: float

    @property
    def is_abandoned(self) -> bool:
        """Nobody waits for any of its images any longer."""
        return all(item.is_abandoned() for item in self.batch.items)

    def finish(self, result: Computed | Exception) -> None:
        if self.share.owner is not None:
            self.share.owner.finished(self.batch, result)

    def refuse(self, why: Exception) -> None:
        """Without having been tried."""
        for item in self.batch.items:
            if not item.is_abandoned():
                item.answer.set_exception(why)
        self.finish(why)


class Slot:
    """Belongs to the event loop of its pool."""

    def __init__(self, number: int, settings: ProcessSettings, mapped_bytes: int, pool: Pool) -> None:
        """`settings` are of one that takes another's word; all processes map `mapped_bytes` together."""
        self.number = number
        self.settings = settings
        self.mapped_bytes = mapped_bytes
        self.needs_bytes = mapped_bytes
        """Of memory, as far as is known."""
        self.waiting: deque[Waiting] = deque()
        self.running: set[Waiting] = set()
        """Those that processes have."""
        self.is_loaded = False
        """In all processes that are there; else it is put away."""
        self.is_leaving = False
        """Another is to have its memory: no batch of it begins."""
        self.is_removed = False
        self.is_able = True
        """There is, or will be when it is called, a process that computes it."""
        self.hindrance = ""
        """Why it cannot be loaded; it is tried again and again."""
        self.reloads = Restarts()
        """Since it was last loaded in all processes."""
        self.seats: set[Seat] = set()
        """That have it, or are just getting it as they start again."""
        self.refused_by: set[Seat] = set()
        """That started again since, and could not have it."""
        self.last_used = self.loaded_at = time.monotonic()
        self.coming_back: asyncio.Task[None] | None = None
        self._pool = pool
        self._shares: list[Share] = []
        self._told = (True, "")

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def work_s(self, now: float) -> float:
        """What its batches take of a core from now on, as far as is known."""
        waiting_s = sum(waiting.expected_s for waiting in self.waiting)
        return waiting_s + sum(each.batch.remaining_s(now) for each in self.running)

    @property
    def queued_s(self) -> float:
        """The same of what is in its queue, before the pool."""
        owner = self._shares[0].owner if self._shares else None
        return owner.queued_s if owner is not None else 0.0

    @property
    def may_leave(self) -> bool:
        """It can be put away."""
        return not self.running and (self.is_leaving or not self.waiting)

    def shares(self, count: int) -> Sequence[Share]:
        """As many as its queue may have batches under way."""
        self._shares = [Share(self, self._pool) for _ in range(count)]
        return self._shares

    def settings_for(self, seat: Seat) -> ProcessSettings:
        """The first process takes all cores for a lone image."""
        wide_threads = self.settings.wide_threads if seat.number == 0 else 1
        return replace(self.settings, slot=self.number, wide_threads=wide_threads)

    def is_missing_in(self, seat: Seat) -> bool:
        return self.is_loaded and seat not in self.seats | self.refused_by

    def tell_shares(self, *, is_able: bool) -> None:
        """As `is_able` and `hindrance` are now. What waits is the queue's again where there is no process."""
        before, self._told = self._told, (is_able, self.hindrance)
        if self._told == before:
            return
        self.is_able = is_able
        for share in self._shares:
            if is_able:
                share.regain()
            else:
                share.lose(self.hindrance)
        while self.waiting and not is_able:
            self.waiting.pop().finish(NeverBegun("no process has the model any more"))

    def stop_coming_back(self) -> None:
        if self.coming_back is not None:
            self.coming_back.cancel()
            self.coming_back = None

    def refuse_waiting(self, why: Exception) -> None:
        while self.waiting:
            self.waiting.popleft().refuse(why)
