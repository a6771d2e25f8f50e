import asyncio

from server.queue.priority_queue import Item, Lane, Lanes
from tests.server.event_loop import in_event_loop


def item(name: str) -> Item[str]:
    lane = Lane.BULK if name.startswith("b") else Lane.INTERACTIVE
    return Item(name, lane, None, asyncio.get_running_loop().create_future(), arrived=0.0)


def lanes_of(interactive: int, bulk: int) -> Lanes[str]:
    lanes: Lanes[str] = Lanes()
    for name in [f"b{n}" for n in range(bulk)] + [f"i{n}" for n in range(interactive)]:
        lanes.put(item(name))
    return lanes


def taken(lanes: Lanes[str]) -> str:
    """The lane of each item, in the order in which they are taken."""
    order = ""
    while turn := lanes.next():
        lanes.take(turn)
        order += turn.payload[0]
    return order


@in_event_loop
async def test_every_eighth_image_is_of_the_bulk_lane_while_both_wait() -> None:
    assert taken(lanes_of(interactive=23, bulk=4)) == "iiiiiiib" * 3 + "iib"
    assert taken(lanes_of(interactive=3, bulk=2)) == "iiibb"


@in_event_loop
async def test_a_turn_of_the_bulk_lane_begins_the_count_again() -> None:
    lanes = lanes_of(interactive=0, bulk=2)
    assert taken(lanes) == "bb"
    for name in ("b2", *(f"i{n}" for n in range(8))):
        lanes.put(item(name))
    assert taken(lanes) == "iiiiiiibi"


@in_event_loop
async def test_what_goes_before_an_image_counts_the_turns_of_bulk() -> None:
    ahead = [
        (lanes.ahead_of(Lane.INTERACTIVE), lanes.ahead_of(Lane.BULK))
        for lanes in (lanes_of(6, 5), lanes_of(7, 5), lanes_of(20, 5), lanes_of(21, 2))
    ]
    assert ahead == [(6, 11), (8, 12), (22, 25), (23, 23)]
