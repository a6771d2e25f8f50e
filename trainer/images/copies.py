"""What follows from pictures that are nearly the same: which are left out, which are told."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from fovea.images.preprocess import Pixels
from trainer.images.audit import NearlyLeaked
from trainer.images.groups import Neighbours, Reached, groups, neighbours_of, spread
from trainer.images.listing import Sample
from trainer.images.near_duplicates import Pair
from trainer.images.orientation import UPRIGHT, Orientation
from trainer.images.part import Part
from trainer.images.survey import blurred, survey

WHERE: Final = ("trained on", "held out", "in test")


@dataclass(frozen=True)
class Copies:
    """Pictures of which there are others that are nearly the same."""

    left_out: tuple[frozenset[str], ...]
    """digests, of each part: of what a later part has too"""
    leaked: tuple[NearlyLeaked, ...]
    """the same as files, with the reason"""
    groups: tuple[tuple[str, ...], ...]
    """files that are nearly the same, of what is used"""
    conflicts: tuple[tuple[str, ...], ...]
    """pairs under two labels, each as `label: path`"""
    turned: tuple[tuple[str, ...], ...]
    """the same of pairs of which one was turned: different pictures where that is what the labels mean"""
    blurred: frozenset[str]
    """digests"""

    def findings(self) -> Iterator[str]:
        """A line for each kind, with its first example."""
        if self.leaked:
            first = self.leaked[0]
            yield (
                "images left out of training for a later part has nearly the same picture: "
                f"{len(self.leaked)}; {first.path}: {first.reason}"
            )
        if self.conflicts:
            both = " and ".join(self.conflicts[0])
            yield f"nearly the same pictures under different labels: {len(self.conflicts)}; {both}"
        if self.turned:
            both = " and ".join(self.turned[0])
            yield (
                "turned copies under different labels, taken for different pictures: "
                f"{len(self.turned)}; {both}"
            )
        if self.groups:
            images = sum(map(len, self.groups))
            yield (
                "images of which others are nearly the same (resized, encoded again, cropped, mirrored or "
                f"turned): {images}; the first are {' and '.join(self.groups[0][:2])}"
            )


def copies_across(parts: Sequence[Part], copies: Copies) -> list[tuple[str, ...]]:
    """Files of two groups or more that are the same, or nearly, each as `group: path`."""
    group_of = {str(sample): sample.group for part in parts for sample in part.samples}
    contents: dict[str, list[str]] = defaultdict(list)
    for part in parts:
        for row in part.rows():
            contents[part.decoded.digests[row]].append(str(part.samples[row]))
    alike = (*contents.values(), *((leak.path, leak.other) for leak in copies.leaked), *copies.groups)
    return [
        tuple(f"{group_of[name]}: {name}" for name in names)
        for names in alike
        if len({group_of[name] for name in names}) > 1
    ]


class _Place(NamedTuple):
    part: int
    row: int


def find_copies(
    parts: Sequence[Part], rows: Sequence[Sequence[int]], *, flip: bool, cache_dir: Path
) -> Copies:
    """Among these rows of the parts, of byte-equal ones among the first. No class of a part, nor any label
    where an image may have several, is left out altogether: what is nearly the same is a guess, and no reason
    to end a training. A turned copy under another label, or other labels, is no copy: turning makes a nine of
    a six, and all classes of which way up a page lies.

    Raises Unavailable when the cache cannot be written.
    """
    distinct = [_first_of_each_content(part, of) for part, of in zip(parts, rows, strict=True)]
    places = [_Place(number, row) for number, of in enumerate(distinct) for row in of]
    seen = survey(parts, distinct, flip, cache_dir)
    alike, turned = _by_meaning(parts, places, seen.near_duplicates())
    neighbours = neighbours_of(alike)
    leaks = _leaks(parts, distinct, places, neighbours)
    used = [
        [places[member] for member in group if places[member] not in leaks] for group in groups(neighbours)
    ]
    soft = zip(places, blurred(seen.sharpness), strict=True)
    return Copies(
        tuple(
            frozenset(part.decoded.digests[place.row] for place in leaks if place.part == number)
            for number, part in enumerate(parts)
        ),
        tuple(leaks.values()),
        tuple(tuple(_name(parts, place) for place in group) for group in used if len(group) > 1),
        tuple(_conflicts(parts, places, alike)),
        tuple(_conflicts(parts, places, turned)),
        frozenset(parts[place.part].decoded.digests[place.row] for place, is_soft in soft if is_soft),
    )


def picture_of(parts: Sequence[Part], names: Sequence[str]) -> Mapping[str, Pixels]:
    """Name -> uint8 [S, S, 3], of the images of these names."""
    wanted, found = set(names), {}
    for part in parts:
        for row, sample in enumerate(part.samples):
            if str(sample) in wanted:
                found[str(sample)] = part.decoded.cache[row]
    return found


def _first_of_each_content(part: Part, rows: Sequence[int]) -> list[int]:
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(part.decoded.digests[row], row)
    return list(first.values())


def _by_meaning(
    parts: Sequence[Part], places: Sequence[_Place], pairs: Sequence[Pair]
) -> tuple[list[Pair], list[Pair]]:
    """Those of one picture, and turned ones of which the labels say that they are two."""
    of_one: list[Pair] = []
    of_two: list[Pair] = []
    for pair in pairs:
        labels = {_sample(parts, places[place]).named for place in (pair.first, pair.second)}
        (of_two if pair.orientation.quarters and len(labels) > 1 else of_one).append(pair)
    return of_one, of_two


def _leaks(
    parts: Sequence[Part], distinct: Sequence[Sequence[int]], places: Sequence[_Place], neighbours: Neighbours
) -> dict[_Place, NearlyLeaked]:
    """What is left out, with the reason."""
    stays = _staying(places, neighbours)
    leaks = {places[p]: _leak(parts, places[p], places[o.start], o.orientation.inverse) for p, o in stays}
    every = (_Place(part, row) for part, of in enumerate(distinct) for row in of)
    images = Counter(chain.from_iterable(_classes(parts, place) for place in every))
    leaked = Counter(chain.from_iterable(_classes(parts, place) for place in leaks))
    return {
        place: leak
        for place, leak in leaks.items()
        if all(leaked[one] < images[one] for one in _classes(parts, place))
    }


def _staying(places: Sequence[_Place], neighbours: Neighbours) -> list[tuple[int, Reached]]:
    """Places that pairs connect with a later part, in order, each with the picture of the last part that
    they lead to: that one is not left out itself."""
    reached: dict[int, Reached] = {}
    for part in sorted({place.part for place in places}, reverse=True):
        own = [place for place in sorted(neighbours) if places[place].part == part]
        spread(own, neighbours, reached)
    return [(p, there) for p, there in sorted(reached.items()) if places[p].part < places[there.start].part]


def _leak(parts: Sequence[Part], place: _Place, other: _Place, how: Orientation) -> NearlyLeaked:
    name, there, turned = _name(parts, place), _name(parts, other), "" if how == UPRIGHT else f", {how}"
    return NearlyLeaked(name, there, f"nearly the same picture is {WHERE[other.part]} as {there}{turned}")


def _classes(parts: Sequence[Part], place: _Place) -> list[tuple[int, str]]:
    """Its labels, in its part; to have none is one as well."""
    return [(place.part, label) for label in _sample(parts, place).named or ("",)]


def _conflicts(
    parts: Sequence[Part], places: Sequence[_Place], pairs: Sequence[Pair]
) -> Iterator[tuple[str, ...]]:
    for pair in pairs:
        both = (places[pair.first], places[pair.second])
        samples = [_sample(parts, place) for place in both]
        if samples[0].named != samples[1].named:
            yield tuple(f"{sample.label}: {sample}" for sample in samples)


def _sample(parts: Sequence[Part], place: _Place) -> Sample:
    return parts[place.part].samples[place.row]


def _name(parts: Sequence[Part], place: _Place) -> str:
    return str(_sample(parts, place))
