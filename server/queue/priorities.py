"""The images that wait, of two priorities: `interactive` goes first, `bulk` never starves."""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from server.errors import DeadlinePassed

P = TypeVar("P")

BULK_TURN: Final = 8
"""While there are images of both, every eighth that is taken is a bulk one."""


class Priority(Enum):
    INTERACTIVE = "interactive"
    BULK = "bulk"


class ItemResult(NamedTuple):
    """What the model says of one image, and what it took."""

    probabilities: npt.NDArray[np.float32]
    """[classes], or [2, classes] where the logits are wanted too, which are the second row"""
    batch_size: int
    queue_s: float
    """Until its batch started."""
    decode_s: float
    compute_s: float
    """Of the whole batch."""


@dataclass(eq=False)
class Item(Generic[P]):
    """One image in the queue; its times are on the clock of whoever owns the queue."""

    payload: P
    priority: Priority
    deadline: float | None
    answer: asyncio.Future[ItemResult]
    arrived: float
    is_suspect: bool = False
    """It was in a batch whose worker died: it is tried once more, by itself."""

    def is_abandoned(self) -> bool:
        """True when nobody waits for it any longer."""
        return self.answer.done()

    def refuse(self, why: str) -> None:
        self.answer.set_exception(DeadlinePassed(why))


class PriorityQueue(Generic[P]):
    """A queue of items, first in, first out among those of a priority. Used from one event loop alone."""

    def __init__(self) -> None:
        self._interactive: deque[Item[P]] = deque()
        self._bulk: deque[Item[P]] = deque()
        self._since_bulk = 0

    def __len__(self) -> int:
        return len(self._interactive) + len(self._bulk)

    def __iter__(self) -> Iterator[Item[P]]:
        return itertools.chain(self._interactive, self._bulk)

    def put(self, item: Item[P]) -> None:
        self._waiting_of(item).append(item)

    def ahead_of(self, priority: Priority) -> int:
        """How many images would go before one that comes now."""
        interactive, bulk = len(self._interactive), len(self._bulk)
        turns_of_bulk = bulk if priority is Priority.BULK else min(bulk, interactive // (BULK_TURN - 1))
        return interactive + turns_of_bulk

    def oldest_arrival(self) -> float:
        """When the first of those that wait came; there must be one."""
        return min(waiting[0].arrived for waiting in (self._interactive, self._bulk) if waiting)

    def next(self) -> Item[P] | None:
        """The item whose turn it is, left where it is; abandoned ones are dropped on the way."""
        interactive, bulk = self._interactive, self._bulk
        while interactive and interactive[0].is_abandoned():
            interactive.popleft()
        while bulk and bulk[0].is_abandoned():
            bulk.popleft()
        if bulk and (not interactive or self._since_bulk >= BULK_TURN - 1):
            return bulk[0]
        return interactive[0] if interactive else None

    def put_back(self, item: Item[P]) -> None:
        """Before all others of its priority."""
        self._waiting_of(item).appendleft(item)

    def take(self, item: Item[P]) -> None:
        """Removes the item that `next` gave."""
        self._waiting_of(item).popleft()
        self._since_bulk = 0 if item.priority is Priority.BULK else self._since_bulk + 1

    def discard(self, item: Item[P]) -> None:
        """Removes an item whose caller went away, so that its bytes do not wait for their turn."""
        with suppress(ValueError):  # it is being computed
            self._waiting_of(item).remove(item)

    def _waiting_of(self, item: Item[P]) -> deque[Item[P]]:
        return self._bulk if item.priority is Priority.BULK else self._interactive
