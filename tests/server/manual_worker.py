"""A worker whose batches end when a test says so."""

from collections.abc import Sequence

import numpy as np

from server.queue.worker import Batch, Computed, Owner


class ManualWorker:
    """Keeps each batch that it is given. The images are numbers, and are answered with themselves."""

    def __init__(self, capacity: int = 1) -> None:
        self.capacity = capacity
        self.batches: list[Batch[int]] = []
        """That it still has."""

    def attach(self, owner: Owner[int]) -> None:
        self._owner = owner
        owner.available(self)

    def start(self, batch: Batch[int]) -> None:
        assert len(self.batches) < self.capacity
        self.batches.append(batch)

    async def end(self) -> None:
        pass

    @property
    def images(self) -> list[list[int]]:
        """By batch."""
        return [[item.payload for item in batch.items] for batch in self.batches]

    def finish(self) -> None:
        """The first of its batches is computed, and took what was expected."""
        batch = self.batches.pop(0)
        outcomes = [np.array([item.payload], np.float32) for item in batch.items]
        took = (batch.expected_s, batch.expected_s)
        self._owner.finished(batch, Computed(outcomes, [0.0] * len(outcomes), *took))

    def fail(self, cause: Exception) -> None:
        """The first of its batches fails as a whole."""
        self._owner.finished(self.batches.pop(0), cause)

    def die(self, cause: Exception) -> None:
        self._owner.lost(self)
        while self.batches:
            self._owner.finished(self.batches.pop(), cause)

    def come_back(self) -> None:
        self._owner.available(self)


def images_of(workers: Sequence[ManualWorker]) -> list[list[list[int]]]:
    return [worker.images for worker in workers]
