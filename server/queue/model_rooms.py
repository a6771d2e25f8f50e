"""Room that is kept for each of several models: a flood of calls to one refuses none to the others."""

from collections.abc import Callable
from typing import Final

KEPT_SHARE: Final = 0.25
"""Of all room, that is kept for models which have less than their part of it in flight."""


class ModelRooms:
    """What each model has in flight, of those that this process admits."""

    def __init__(self, max_images: int, max_bytes: int, models: Callable[[], int]) -> None:
        """`models`: how many there are now."""
        self._limits = (max_images, "images"), (max_bytes, "bytes")
        self._models = models
        self._in_flight: dict[str, list[int]] = {}

    def add(self, model: str, images: int, size_bytes: int) -> None:
        """Negative ones when they are answered."""
        own = self._in_flight.setdefault(model, [0, 0])
        own[0] += images
        own[1] += size_bytes
        if not own[0]:
            del self._in_flight[model]

    def why_full(self, model: str, call: tuple[int, int], total: tuple[int, int]) -> str:
        """Why what was added last is too much: images and bytes of the call, and in all, with it.

        A call that is larger than its model's part is admitted when the model has no other in flight.
        """
        count = self._models()
        if count < 2:
            return ""
        own = self._in_flight.get(model, [0, 0])
        for kind, (limit, what) in enumerate(self._limits):
            kept_for_each = limit * KEPT_SHARE / count
            if own[kind] <= max(kept_for_each, call[kind]):
                continue
            others = (used[kind] for name, used in self._in_flight.items() if name != model)
            unused = kept_for_each * (count - 1) - sum(min(kept_for_each, used) for used in others)
            if total[kind] + unused > limit:
                return f"{own[kind]} {what} of model {model} would be in flight; the rest is kept for others"
        return ""
