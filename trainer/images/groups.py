"""Pictures that pairs connect: where a is nearly b and b nearly c, all three are taken for one picture."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trainer.images.near_duplicates import Pair
from trainer.images.orientation import UPRIGHT, Orientation

Neighbours = Mapping[int, Sequence[tuple[int, Orientation]]]
"""place -> the places that it is nearly the same as, and what makes these of it"""


class Reached(NamedTuple):
    """From where the pairs lead to a picture on the shortest way."""

    start: int
    orientation: Orientation
    """what makes the picture of that one"""


def neighbours_of(pairs: Iterable[Pair]) -> Neighbours:
    neighbours: dict[int, list[tuple[int, Orientation]]] = defaultdict(list)
    for pair in pairs:
        neighbours[pair.first].append((pair.second, pair.orientation))
        neighbours[pair.second].append((pair.first, pair.orientation.inverse))
    return dict(neighbours)


def spread(starts: Iterable[int], neighbours: Neighbours, reached: dict[int, Reached]) -> None:
    """Adds to `reached` all places that pairs lead to from the starts on, themselves included, that are not
    in it. Breadth first: the time grows with the pairs."""
    waiting = deque(start for start in starts if start in neighbours and start not in reached)
    reached.update((start, Reached(start, UPRIGHT)) for start in waiting)
    while waiting:
        place = waiting.popleft()
        start, so_far = reached[place]
        for other, orientation in neighbours[place]:
            if other not in reached:
                reached[other] = Reached(start, so_far.then(orientation))
                waiting.append(other)


def groups(neighbours: Neighbours) -> list[list[int]]:
    """Places that are connected, each group in order."""
    reached: dict[int, Reached] = {}
    for place in sorted(neighbours):
        spread([place], neighbours, reached)
    members: dict[int, list[int]] = defaultdict(list)
    for place in sorted(reached):
        members[reached[place].start].append(place)
    return sorted(members.values())
