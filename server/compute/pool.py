"""Several models on the same cores: a process for each core that has all of them, and turns that are fair.

Each model has its queue, which forms batches as if it had the cores for itself, and hands them to shares of
the pool. Batches wait here for a process that is free; whose is next is the model's that had the least time.
A model without work may be put away, when others need its memory, and comes back when a batch is for it.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import partial

from fovea.errors import FoveaError, Unavailable
from server.compute import wire
from server.compute.backend import WorkItem
from server.compute.contention import Contention
from server.compute.loading import NO_MEMORY, Loading
from server.compute.pool_memory import PoolMemory
from server.compute.seat import Job, Seat, limit_s
from server.compute.slots import Share, Slot, Waiting
from server.compute.start_up import ProcessSettings
from server.errors import DeadlinePassed, Draining
from server.queue.turns import Turns
from server.queue.worker import Batch, Computed, NeverBegun, WorkerDied

logger = logging.getLogger(__name__)


class Pool:
    """Belongs to the event loop that it is made in."""

    def __init__(self, cores: int, short_s: float, memory_bytes: int | None = None) -> None:
        """A batch that takes no more than `short_s` is handed to a process that is not yet done with another.

        `memory_bytes`: what all models may take, besides the processes themselves.
        """
        self.seats = [Seat(number, self) for number in range(cores)]
        self._short_s = short_s
        self._memory = PoolMemory(memory_bytes)
        self._slots: dict[int, Slot] = {}
        self._turns: Turns[int] = Turns()
        self._loading = Loading(self.seats, self._memory, self._slots, self._has_changed)
        self._is_open = False

    async def add(self, settings: ProcessSettings, mapped_bytes: int) -> Slot:
        """A model that another process has measured. `mapped_bytes` is what all processes map together.

        Raises BundleInvalid; Unavailable also where others in use leave no memory for so long.
        """
        async with self._loading.turn:
            await self._open()
            slot = Slot(self._free_number(), settings, mapped_bytes, self)
            self._slots[slot.number] = slot
            try:
                await self._loading.load_new(slot)
                self._memory.check(slot)
            except BaseException as error:
                self._forget(slot)
                self._dispatch()
                if isinstance(error, TimeoutError):
                    raise Unavailable(NO_MEMORY) from None
                raise
            self._loading.put_away_surplus(slot)
        return slot

    def contention(self, slot: Slot) -> Contention:
        """What its calls wait for."""
        return Contention(slot, self._slots, self.seats)

    async def close(self) -> None:
        for slot in self._slots.values():
            slot.stop_coming_back()
        await asyncio.gather(*(seat.end() for seat in self.seats))

    def submit(self, slot: Slot, share: Share, batch: Batch[WorkItem]) -> None:
        """A batch of a share's queue."""
        if not slot.has_work:
            self._turns.begins_to_wait(slot.number)
        slot.waiting.append(Waiting(share, batch, batch.expected_s))
        if not slot.is_loaded:
            self._loading.call_back(slot)
        self._dispatch()

    def remove(self, slot: Slot) -> None:
        """It takes no more batches; those that processes have are answered, or lost with the processes."""
        if not slot.is_removed:
            slot.is_removed = True
            slot.refuse_waiting(Draining("the server is shutting down"))
            self._forget(slot)

    def settings_of(self, seat: Seat) -> Iterable[ProcessSettings]:
        """See `seat.Pool`: also those that come meanwhile."""
        return self._loading.not_yet_in(seat)

    def died(self, seat: Seat) -> None:
        """See `seat.Pool`."""
        for slot in self._slots.values():
            slot.seats.discard(seat)
            slot.refused_by.discard(seat)
        self._tell_shares()

    def refused(self, seat: Seat, slot: int, error: FoveaError) -> None:
        """See `seat.Pool`."""
        if (refused := self._slots.get(slot)) is not None:
            self._loading.refused(refused, seat, error)

    def came_up(self, seat: Seat) -> None:
        """See `seat.Pool`."""
        self._has_changed()

    def has_room(self, seat: Seat) -> None:
        """See `seat.Pool`."""
        self._dispatch()

    async def _open(self) -> None:
        """One process is enough: those that do not start now are tried again. Raises Unavailable."""
        if self._is_open:
            return
        closed = [seat for seat in self.seats if not seat.is_up]
        opened = await asyncio.gather(*(seat.open() for seat in closed), return_exceptions=True)
        failed = {seat: error for seat, error in zip(closed, opened, strict=True) if error is not None}
        if len(failed) == len(self.seats):
            raise failed[closed[0]]
        self._is_open = True
        for seat, error in failed.items():
            logger.error("a compute process does not start, and is tried again", extra={"reason": str(error)})
            seat.restart_soon()

    def _free_number(self) -> int:
        return next(number for number in range(2**16) if number not in self._slots)

    def _has_changed(self) -> None:
        """Which models the processes have."""
        self._tell_shares()
        self._dispatch()

    def _tell_shares(self) -> None:
        has_seats = any(seat.is_up for seat in self.seats)
        for slot in self._slots.values():
            slot.tell_shares(is_able=has_seats and self._loading.may_have(slot))

    def _forget(self, slot: Slot) -> None:
        slot.stop_coming_back()
        self._loading.put_away(slot)
        self._slots.pop(slot.number, None)
        self._turns.leaves(slot.number)
        self._memory.may_have_room()

    def _dispatch(self) -> None:
        while (place := self._next()) is not None:
            slot, seat = place
            waiting = slot.waiting.popleft()
            if waiting.is_abandoned:
                waiting.refuse(DeadlinePassed("nobody waits for it"))
                self._memory.may_have_room()
            else:
                self._start(slot, seat, waiting)

    def _next(self) -> tuple[Slot, Seat] | None:
        """Whose batch is to be computed now, and where."""
        waiting = {n: slot for n, slot in self._slots.items() if slot.waiting and not slot.is_leaving}
        for number in self._turns.in_order(waiting):
            if able := self._able(slot := waiting[number]):
                seat = self._seat_for(slot, able)
                # Where it has to wait, those behind it do too: they would keep every seat taken.
                return None if seat is None else (slot, seat)
        return None

    def _able(self, slot: Slot) -> list[Seat]:
        """That have it, and all else that they are to have."""
        return [seat for seat in self.seats if seat.is_up and seat in slot.seats]

    def _seat_for(self, slot: Slot, able: list[Seat]) -> Seat | None:
        """The first that is free, which takes all cores for a lone image; or one that will be soon."""
        if free := next((seat for seat in able if not seat.jobs), None):
            return free
        if slot.waiting[0].expected_s > self._short_s:
            return None
        soon = (seat for seat in able if len(seat.jobs) == 1 and seat.jobs[0].expected_s <= self._short_s)
        return next(soon, None)

    def _start(self, slot: Slot, seat: Seat, waiting: Waiting) -> None:
        batch = waiting.batch
        batch.started = time.monotonic()
        is_idle = not any(slot.has_work for slot in self._slots.values())
        is_alone = batch.is_alone and is_idle and seat.number == 0
        items = [item.payload for item in batch.items]
        parts = wire.batch_frame(items, is_alone, by_place=seat.reads_arenas, slot=slot.number)
        self._turns.takes(slot.number, waiting.expected_s)
        slot.running.add(waiting)
        answered = partial(self._answered, slot, waiting)
        lost = partial(self._lost, slot, waiting)
        seat.give(Job(parts, waiting.expected_s, limit_s(waiting.expected_s), answered, lost))

    def _answered(self, slot: Slot, waiting: Waiting, kind: bytes, content: bytes) -> None:
        if kind == wire.RESULT:
            result = wire.read_result(content)
            self._turns.took(slot.number, waiting.expected_s, result.seconds)
            self._end(slot, waiting, result)
        else:
            self._end(slot, waiting, RuntimeError(content.decode()))

    def _lost(self, slot: Slot, waiting: Waiting, was_begun: bool) -> None:
        if was_begun:
            self._end(slot, waiting, WorkerDied("the process that computed it died"))
            return
        if slot.is_able and not slot.is_removed:
            slot.running.discard(waiting)
            slot.waiting.appendleft(waiting)
            self._memory.may_have_room()
        else:
            self._end(slot, waiting, NeverBegun("the processes that compute died"))

    def _end(self, slot: Slot, waiting: Waiting, result: Computed | Exception) -> None:
        slot.running.discard(waiting)
        slot.last_used = time.monotonic()
        waiting.finish(result)
        if slot.may_leave:
            self._memory.may_have_room()
