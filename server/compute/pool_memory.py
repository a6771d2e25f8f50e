"""Which models of a pool are in memory: as many as fit, those that were used last."""

import asyncio
from collections.abc import Callable, Iterable

from fovea.errors import Unavailable
from server.compute.slots import Slot


class PoolMemory:
    """Belongs to the event loop of its pool."""

    def __init__(self, limit_bytes: int | None) -> None:
        """None where there is no limit."""
        self._limit_bytes = limit_bytes
        self._changed = asyncio.Event()

    def check(self, slot: Slot) -> None:
        """Raises Unavailable where it does not even fit alone."""
        if self._limit_bytes is not None and slot.needs_bytes > self._limit_bytes:
            raise Unavailable(
                f"--model-memory-bytes {self._limit_bytes} has no room for the model, which takes "
                f"{slot.needs_bytes}"
            )

    def is_exceeded(self, slots: Iterable[Slot], more_bytes: int = 0) -> bool:
        if self._limit_bytes is None:
            return False
        used = sum(slot.needs_bytes for slot in slots if slot.is_loaded)
        return used + more_bytes > self._limit_bytes

    def longest_unused(self, slots: Iterable[Slot], besides: Slot) -> Slot | None:
        """Of those that are there and have no work."""
        idle = [slot for slot in slots if slot.is_loaded and not slot.has_work and slot is not besides]
        return min(idle, key=lambda slot: slot.last_used, default=None)

    async def make_room(
        self, slot: Slot, slots: Callable[[], Iterable[Slot]], put_away: Callable[[Slot], None]
    ) -> None:
        """Puts others away; waits until one has no work where all have. Whoever calls sets a time limit."""
        while self.is_exceeded(slots(), slot.needs_bytes):
            if victim := self.longest_unused(slots(), besides=slot):
                put_away(victim)
            elif not any(other.is_loaded for other in slots() if other is not slot):
                return  # it is larger than the limit, which `check` says when it is known by how much
            else:
                self._changed.clear()
                await self._changed.wait()

    def may_have_room(self) -> None:
        """A model has no work any more, or is gone."""
        self._changed.set()
