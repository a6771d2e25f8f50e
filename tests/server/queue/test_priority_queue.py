import asyncio

import numpy as np

from server.queue.priorities import Item, Priority, PriorityQueue
from tests.server.event_loop import in_event_loop


def item(name: str) -> Item[str]:
    priority = Priority.BULK if name.startswith("b") else Priority.INTERACTIVE
    return Item(name, priority, None, asyncio.get_running_loop().create_future(), arrived=0.0)


def queue_of(interactive: int, bulk: int) -> PriorityQueue[str]:
    queue: PriorityQueue[str] = PriorityQueue()
    for name in [f"b{n}" for n in range(bulk)] + [f"i{n}" for n in range(interactive)]:
        queue.put(item(name))
    return queue


def taken(queue: PriorityQueue[str]) -> str:
    """The priority of each item, in the order in which they are taken."""
    order = ""
    while turn := queue.next():
        queue.take(turn)
        order += turn.payload[0]
    return order


@in_event_loop
async def test_every_eighth_image_is_a_bulk_one_while_both_wait() -> None:
    assert taken(queue_of(interactive=23, bulk=4)) == "iiiiiiib" * 3 + "iib"
    assert taken(queue_of(interactive=3, bulk=2)) == "iiibb"


@in_event_loop
async def test_a_turn_of_bulk_begins_the_count_again() -> None:
    queue = queue_of(interactive=0, bulk=2)
    assert taken(queue) == "bb"
    for name in ("b2", *(f"i{n}" for n in range(8))):
        queue.put(item(name))
    assert taken(queue) == "iiiiiiibi"


@in_event_loop
async def test_what_goes_before_an_image_counts_the_turns_of_bulk() -> None:
    ahead = [
        (queue.ahead_of(Priority.INTERACTIVE), queue.ahead_of(Priority.BULK))
        for queue in (queue_of(6, 5), queue_of(7, 5), queue_of(20, 5), queue_of(21, 2))
    ]
    assert ahead == [(6, 11), (8, 12), (22, 25), (23, 23)]


@in_event_loop
async def test_an_image_is_told_from_others_with_the_same_pixels() -> None:
    def of(pixels: np.ndarray) -> Item[np.ndarray]:
        return Item(pixels, Priority.BULK, None, asyncio.get_running_loop().create_future(), arrived=0.0)

    queue: PriorityQueue[np.ndarray] = PriorityQueue()
    first, second = of(np.zeros(3)), of(np.zeros(3))
    queue.put(first)
    queue.put(second)
    queue.discard(second)
    assert list(queue) == [first]
    queue.discard(second)
    assert list(queue) == [first]


@in_event_loop
async def test_images_that_nobody_waits_for_are_dropped_on_the_way_to_the_next() -> None:
    for name in ("i", "b"):
        queue: PriorityQueue[str] = PriorityQueue()
        gone, waiting = item(name), item(name)
        queue.put(gone)
        queue.put(waiting)
        gone.answer.cancel()
        assert queue.next() is waiting
        assert len(queue) == 1
        waiting.answer.cancel()
        assert queue.next() is None
