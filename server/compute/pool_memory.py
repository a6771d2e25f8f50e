"""Which models of a pool are in memory: as many as fit, those that were used last; in turns where all are."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Final

from fovea.errors import Unavailable
from server.compute.slots import Slot

KEEPS_S: Final = 1.0
"""So long a model with work keeps its memory though another is called that has none."""


class PoolMemory:
    """Belongs to the event loop of its pool."""

    def __init__(self, limit_bytes: int | None) -> None:
        """None where there is no limit."""
        self._limit_bytes = limit_bytes
        self._changed = asyncio.Event()

    def check(self, slot: Slot) -> None:
        """Raises Unavailable where its weights do not even fit alone.

        What processes grow by is not its own alone: of the first, it is also what is loaded once for all.
        """
        weights_bytes = slot.mapped_bytes or slot.needs_bytes
        if self._limit_bytes is not None and weights_bytes > self._limit_bytes:
            raise Unavailable(
                f"--model-memory-bytes {self._limit_bytes} has no room for the model, whose weights take "
                f"{weights_bytes}"
            )

    def is_exceeded(self, slots: Iterable[Slot], more_bytes: int = 0) -> bool:
        if self._limit_bytes is None:
            return False
        used = sum(slot.needs_bytes for slot in slots if slot.is_loaded)
        return used + more_bytes > self._limit_bytes

    def has_room(self, slot: Slot, slots: Collection[Slot]) -> bool:
        """For one that is not there, without another being put away."""
        return not self.is_exceeded(slots, slot.needs_bytes) or not any(other.is_loaded for other in slots)

    def longest_unused(self, slots: Iterable[Slot], besides: Slot) -> Slot | None:
        """Of those that are there and have no work, or were told to leave."""
        idle = [slot for slot in slots if slot.is_loaded and slot.may_leave and slot is not besides]
        return min(idle, key=lambda slot: slot.last_used, default=None)

    async def make_room(
        self, slot: Slot, slots: Callable[[], Iterable[Slot]], put_away: Callable[[Slot], None]
    ) -> None:
        """Puts others away; where all have work, the one that has been there longest.

        Whoever calls limits the time. A model that is larger than the limit has room alone: see `check`.
        """
        try:
            while self.is_exceeded(slots(), slot.needs_bytes):
                if victim := self.longest_unused(slots(), besides=slot):
                    put_away(victim)
                elif others := [other for other in slots() if other.is_loaded and other is not slot]:
                    await self._wait_for(min(others, key=lambda other: other.loaded_at))
                else:
                    return
        finally:
            for other in slots():
                other.is_leaving = False

    async def _wait_for(self, busy: Slot) -> None:
        """Until something has changed. When it has had its time, it is given no more batches."""
        self._changed.clear()
        rest_s = busy.loaded_at + KEEPS_S - time.monotonic()
        if rest_s <= 0:
            busy.is_leaving = True
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s if rest_s > 0 else None):
                if not busy.may_leave:
                    await self._changed.wait()

    def may_have_room(self) -> None:
        """A model has no work any more, or is gone, or left what it had."""
        self._changed.set()
