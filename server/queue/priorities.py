"""The two priorities: how much of each may be in flight, and whose turn it is.

`interactive` goes first, `bulk` never starves, and leaves room for the others. What does not fit is refused
at once, never made to wait for room.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from server.errors import DeadlinePassed, Draining, QueueFull, Refused
from server.queue.gate import Gate
from server.queue.model_rooms import ModelRooms

P = TypeVar("P")

BULK_SHARE: Final = 0.75
"""Of the room, that bulk images may take: interactive ones always find some."""

BULK_TURN: Final = 8
"""While there are images of both, every eighth that is taken is a bulk one."""


class Priority(Enum):
    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(slots=True)
class InFlight:
    """Images that were admitted and not yet answered."""

    images: int = 0
    bytes: int = 0
    bulk_images: int = 0
    bulk_bytes: int = 0


class Ledger:
    """What is in flight, kept by a process that admits by itself."""

    def __init__(self) -> None:
        self.own = InFlight()

    def total(self) -> InFlight:
        """What is in flight in all."""
        return self.own

    def changed(self) -> None:
        """`own` was."""


class Admission:
    """Counts the images in flight, and their bytes, from before they are decoded until they are answered.

    It is the server's own count because gRPC's limit on calls would refuse health checks too.
    Used from the event loop alone.
    """

    def __init__(
        self,
        max_images: int,
        max_bytes: int,
        ledger: Ledger | None = None,
        models: Callable[[], int] | None = None,
    ) -> None:
        """The limits are of all whose ledgers know of each other; `models` are how many share them."""
        self._rooms = ModelRooms(max_images, max_bytes, models) if models else None
        self._max_images = max_images
        self._max_bytes = max_bytes
        self._ledger = ledger or Ledger()
        self._own = self._ledger.own
        self._gate = Gate()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.last_refusal = 0.0
        """When `close` last was the reason to refuse something, on `time.monotonic`'s clock."""

    @property
    def images(self) -> int:
        """That this process has in flight, as `bytes`."""
        return self._own.images

    @property
    def bytes(self) -> int:
        return self._own.bytes

    def admit(
        self,
        images: int,
        size_bytes: int,
        priority: Priority = Priority.INTERACTIVE,
        retry_after_s: Callable[[], float] = lambda: 0.1,
        model: str = "",
    ) -> "Room":
        """Holds room for this many images and bytes, in a block.

        It raises Draining, or QueueFull with `retry_after_s`.
        """
        return Room(self, images, size_bytes, priority, retry_after_s, model)

    def take(self, room: "Room") -> None:
        """Raises what `admit` says."""
        if not self._gate.is_open:
            raise self._draining()
        # First added, then looked: of two processes that do so at once, no more than fits is admitted.
        self._add(room.images, room.size_bytes, room)
        if why := self._why_full(room.images, room.size_bytes, room):
            self.give_back(room)
            raise QueueFull(why, room.retry_after_s())

    def give_back(self, room: "Room") -> None:
        """What was taken."""
        self._add(-room.images, -room.size_bytes, room)

    def while_open(self) -> AbstractAsyncContextManager[None]:
        """For waiting for what is to be admitted: `close` ends the wait, and Draining is raised."""
        return self._gate.while_open(self._draining)

    def close(self) -> None:
        """From now on nothing is admitted; what is in flight goes on."""
        self._gate.close()

    async def empty(self) -> None:
        """Waits until nothing is in flight."""
        await self._is_empty.wait()

    def _draining(self) -> Draining:
        self.last_refusal = time.monotonic()
        return Draining("the server is shutting down; another replica will answer")

    def _add(self, images: int, size_bytes: int, room: "Room") -> None:
        own = self._own
        if self._rooms is not None:
            self._rooms.add(room.model, images, size_bytes)
        own.images += images
        own.bytes += size_bytes
        if room.priority is Priority.BULK:
            own.bulk_images += images
            own.bulk_bytes += size_bytes
        self._ledger.changed()
        if own.images:
            self._is_empty.clear()
        else:
            self._is_empty.set()

    def _why_full(self, images: int, size_bytes: int, room: "Room") -> str:
        """Why these, which are counted already, are too many."""
        total = self._ledger.total()
        if total.images > self._max_images:
            there = f"{total.images - images} images are in flight, of {self._max_images}"
            return f"{there}; {images} more do not fit"
        if total.bytes > self._max_bytes:
            there = f"{total.bytes - size_bytes} bytes are in flight, of {self._max_bytes}"
            return f"{there}; {size_bytes} more do not fit"
        # A call larger than the share is admitted when no other bulk one is in flight.
        if room.priority is Priority.BULK and total.bulk_images > images:
            if total.bulk_images > self._max_images * BULK_SHARE:
                there = f"{total.bulk_images - images} images of bulk calls are in flight"
                return f"{there}; {images} more do not fit"
            if total.bulk_bytes > self._max_bytes * BULK_SHARE:
                there = f"{total.bulk_bytes - size_bytes} bytes of bulk calls are in flight"
                return f"{there}; {size_bytes} more do not fit"
        if self._rooms is None:
            return ""
        return self._rooms.why_full(room.model, (images, size_bytes), (total.images, total.bytes))


@dataclass(slots=True)
class Room:
    """What the images of a call take, while its block lasts."""

    admission: Admission
    images: int
    size_bytes: int
    priority: Priority
    retry_after_s: Callable[[], float]
    model: str

    def __enter__(self) -> None:
        self.admission.take(self)

    def __exit__(self, *_: object) -> None:
        self.admission.give_back(self)


class ItemResult(NamedTuple):
    """What the model says of one image, and what it took."""

    row: npt.NDArray[np.float32]
    """See `server.compute.wants`."""
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
    is_given_up: bool = False
    """Nobody waits for it, but for the end of what is done with it."""

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

    def discard(self, item: Item[P]) -> bool:
        """Removes an item whose caller went away, so that its bytes do not wait for their turn.

        False where it is being computed.
        """
        try:
            self._waiting_of(item).remove(item)
        except ValueError:
            return False
        return True

    def refuse(self, refusal: type[Refused], why: str) -> None:
        """Removes all."""
        for waiting in (self._interactive, self._bulk):
            while waiting:
                item = waiting.popleft()
                if not item.is_abandoned():
                    item.answer.set_exception(refusal(why))

    def _waiting_of(self, item: Item[P]) -> deque[Item[P]]:
        return self._bulk if item.priority is Priority.BULK else self._interactive
