"""What calls to one of several models wait for: their own model's work, and the others' turns meanwhile."""

import time
from collections.abc import Mapping, Sequence

from server.compute.seat import Seat
from server.compute.slots import Slot


class Contention:
    """One model's, on the processes of a pool; see `server.queue.worker.Others`.

    Cores are shared by time, in equal parts: while a model is given some seconds, each other one that has
    work is given as many, or what it has where that is less.
    """

    def __init__(self, slot: Slot, slots: Mapping[int, Slot], seats: Sequence[Seat]) -> None:
        """`slots` are all the pool's models."""
        self._slot = slot
        self._slots = slots
        self._seats = seats

    @property
    def is_busy(self) -> bool:
        """See `Others`; a model that was put away begins when it is back, which is not foreseen."""
        able = self._able()
        is_taken = bool(able) and all(seat.jobs for seat in able)
        return is_taken or any(slot.waiting for slot in self._slots.values())

    def wait_s(self, ahead_s: float, own_s: float) -> float:
        """See `Others`."""
        now = time.monotonic()
        mine_s = self._slot.work_s(now) + ahead_s
        others = (slot for slot in self._slots.values() if slot is not self._slot and slot.has_work)
        theirs_s = sum(min(slot.work_s(now) + slot.queued_s, mine_s + own_s) for slot in others)
        cores = sum(seat.is_up for seat in self._seats) or 1
        # A batch that has begun is not interrupted, be it longer than its model's part.
        free_in_s = min((seat.remaining_s(now) for seat in self._able()), default=0.0)
        return max((mine_s + theirs_s) / cores, free_in_s)

    def _able(self) -> list[Seat]:
        return [seat for seat in self._seats if seat.is_up and seat in self._slot.seats]
