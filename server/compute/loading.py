"""Which models the processes of a pool have: each that is called, as far as there is memory for it."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from fovea.errors import FoveaError, Unavailable
from server.compute.pool_memory import PoolMemory
from server.compute.seat import Seat
from server.compute.slots import Slot
from server.compute.start_up import ProcessSettings
from server.errors import NoModelReady

logger = logging.getLogger(__name__)

COMES_BACK_WITHIN_S: Final = 30.0
"""A model that needs others' memory, or waits for its turn; whoever waits longer is refused."""

TRIES_OF_NEW: Final = 3
"""Of a new version, with the pauses of `Restarts` between; then it is refused, until its files change."""

TRIES_BESIDE_OTHERS: Final = 15
"""Some five minutes. So often a model that could not be loaded is tried with memory that no other has."""

NO_MEMORY: Final = "others that are in use have its memory"
NO_TURN: Final = "others are being loaded"
NOT_NOW: Final = "the model cannot be loaded now"
IN_THE_LOG: Final = "the server's log says why"
"""Callers do not learn where models lie."""


class Loading:
    """Belongs to the event loop of its pool."""

    def __init__(
        self,
        seats: Sequence[Seat],
        memory: PoolMemory,
        slots: Mapping[int, Slot],
        has_changed: Callable[[], None],
    ) -> None:
        """`slots` are the pool's models, which is told when processes have others than before."""
        self._seats = seats
        self._memory = memory
        self._slots = slots
        self._has_changed = has_changed
        self.turn = asyncio.Lock()
        """Is held by whoever loads."""
        self._being_loaded: Slot | None = None

    def may_have(self, slot: Slot) -> bool:
        """A process has it, or gets it, or will when it is called."""
        if slot.hindrance:
            return False
        if not slot.is_loaded or slot is self._being_loaded:
            return True
        return any(seat.is_up for seat in slot.seats)

    def not_yet_in(self, seat: Seat) -> Iterator[ProcessSettings]:
        """Of a process that starts again, also those that come meanwhile."""
        while slot := next((each for each in self._slots.values() if each.is_missing_in(seat)), None):
            slot.seats.add(seat)  # before it has it: who puts the model away meanwhile takes the seat out
            yield slot.settings_for(seat)

    async def load_new(self, slot: Slot) -> None:
        """As `load`, but tries again: another process found it good a moment ago."""
        while not slot.is_loaded:
            try:
                await self.load(slot)
            except FoveaError as error:
                if slot.reloads.count == TRIES_OF_NEW - 1:
                    raise
                self._warn_of(slot, str(error))
                await slot.reloads.pause()
        slot.reloads.count = 0

    async def load(self, slot: Slot) -> None:
        """Raises BundleInvalid, Unavailable; TimeoutError where others in use leave no memory."""
        async with asyncio.timeout(COMES_BACK_WITHIN_S):  # others wait for their turn to load
            await self._memory.make_room(slot, self._slots.values, self._give_way)
        slot.is_loaded = True  # from here on a process that starts again has it
        slot.loaded_at = time.monotonic()
        self._being_loaded, needs_bytes = slot, slot.mapped_bytes
        try:
            for seat in self._seats:  # one after the other: the rest has calls to answer
                if seat.is_up and slot.is_missing_in(seat):
                    needs_bytes += (await seat.set_up(slot.settings_for(seat))).memory_bytes
                    if seat.is_up:  # else it died since, and has it when it starts again
                        slot.seats.add(seat)
                    self._has_changed()
            if slot.refused_by and not slot.seats:
                raise Unavailable("a compute process that started again refuses it")
        except BaseException:
            self.put_away(slot)
            raise
        finally:
            self._being_loaded = None
        slot.needs_bytes = max(slot.needs_bytes, needs_bytes)
        slot.hindrance = ""
        self._has_changed()

    def refused(self, slot: Slot, seat: Seat, error: FoveaError) -> None:
        """By a process that started again, which is told to load it again."""
        facts = {"bundle": slot.settings.bundle, "reason": str(error)}
        logger.error("a model cannot be loaded again after a compute process died", extra=facts)
        slot.seats.discard(seat)
        slot.refused_by.add(seat)
        if not slot.seats and slot is not self._being_loaded:
            self._hinder(slot)
        self.call_back(slot)

    def call_back(self, slot: Slot) -> None:
        """A model that was put away and is called, or that some processes cannot have."""
        if slot.coming_back is None:
            slot.coming_back = asyncio.create_task(self._bring_back(slot))

    def put_away_surplus(self, latest: Slot) -> None:
        """What a model takes is known when it is there."""
        while self._memory.is_exceeded(self._slots.values()):
            victim = self._memory.longest_unused(self._slots.values(), besides=latest)
            if victim is None:
                return
            self._give_way(victim)

    def put_away(self, slot: Slot) -> None:
        """No process has it from here on."""
        slot.is_loaded = False
        slot.seats.clear()
        slot.refused_by.clear()
        for seat in self._seats:  # also those in which it is being set up
            seat.drop(slot.number)

    def _give_way(self, slot: Slot) -> None:
        self.put_away(slot)
        facts = {"bundle": slot.settings.bundle, "bytes": slot.needs_bytes}
        logger.info("a model gives way to others until it is called", extra=facts)
        if slot is not self._being_loaded:
            slot.stop_coming_back()  # in processes that refused it; its next call waits for no pause of that
        if slot.waiting:
            self.call_back(slot)

    async def _bring_back(self, slot: Slot) -> None:
        try:
            while not await self._is_back(slot):
                await slot.reloads.pause()
            if slot.reloads.count and slot.is_loaded:
                logger.info("a model is loaded again", extra={"bundle": slot.settings.bundle})
            slot.reloads.count = 0
        finally:
            if slot.coming_back is asyncio.current_task():  # else it was stopped, and another began since
                slot.coming_back = None

    async def _is_back(self, slot: Slot) -> bool:
        """Tries it; False where it is to be tried again. One that lacks memory may wait for the next call."""
        if not self._has_seats:
            return False
        its_turn = asyncio.timeout(COMES_BACK_WITHIN_S)
        try:
            async with its_turn, self.turn:
                its_turn.reschedule(None)  # loading takes what it takes: each process has its own limit
                if slot.is_loaded:
                    await self._complete(slot)
                elif slot.waiting or self._memory.has_room(slot, self._slots.values()):
                    await self.load(slot)
                else:
                    return self._is_left_to_calls(slot)
        except TimeoutError:
            reason = NO_TURN if its_turn.expired() else NO_MEMORY
            self._warn_of(slot, reason)
            if not slot.is_loaded:  # else the processes that have it answer
                slot.refuse_waiting(NoModelReady(f"{NOT_NOW}: {reason}"))
            return not slot.hindrance and not slot.refused_by
        except Exception as error:  # whatever a machine in need gives as its reason
            self._warn_of(slot, str(error))
            may_be_over = isinstance(error, Unavailable) and not slot.reloads.count
            if not slot.is_loaded and self._has_seats and not may_be_over:
                self._hinder(slot)
            return False
        self.put_away_surplus(slot)
        self._has_changed()
        return not slot.refused_by

    def _is_left_to_calls(self, slot: Slot) -> bool:
        """Others have its memory, which only a call may take from them: it might fail again, as they pay."""
        if slot.hindrance and slot.reloads.count < TRIES_BESIDE_OTHERS:
            return False
        slot.hindrance = ""  # else it would be refused for as long as the others are there
        self._has_changed()
        return True

    async def _complete(self, slot: Slot) -> None:
        """Has those processes set it up that refused it. Raises what they say."""
        for seat in [seat for seat in slot.refused_by if seat.is_up]:
            await seat.set_up(slot.settings_for(seat))
            if seat in slot.refused_by:  # else it was put away meanwhile, or the process died
                slot.refused_by.remove(seat)
                slot.seats.add(seat)

    @property
    def _has_seats(self) -> bool:
        return any(seat.is_up for seat in self._seats)

    def _hinder(self, slot: Slot) -> None:
        """Its calls are refused until it is loaded."""
        self.put_away(slot)
        slot.hindrance = f"{NOT_NOW}: {IN_THE_LOG}"
        self._has_changed()
        self._memory.may_have_room()

    def _warn_of(self, slot: Slot, reason: str) -> None:
        facts = {"bundle": slot.settings.bundle, "reason": reason or IN_THE_LOG}
        logger.warning("a model cannot be loaded now", extra=facts)
