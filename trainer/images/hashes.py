"""Perceptual hashes of small grey pictures, and the pairs of pictures whose hashes are close.

The hash is phash, of 64 bits, as the library imagehash computes it (a test compares the bits), but for a
whole batch, for parts of a picture, mirrored and turned: one matrix product gives all of them, where the
library would take a tenth of a millisecond for each. Their bits are in an order of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.images.orientation import MIRRORED, UPRIGHT, Orientation, orientations

Grey = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

SIDE: Final = 32
"""Of the pictures that are hashed, in pixels."""
RADIUS: Final = 9
"""Bits in which the hashes of a copy may differ: `python -m benchmarks.duplicates`."""
LOW: Final = 8
BITS: Final = LOW * LOW
ORDER: Final = np.random.default_rng(0).permutation(BITS)
"""Of imagehash's bits: those of neighbouring frequencies go together, and would share a key."""
KEYS: Final = 3
KEY_BITS: Final = BITS // KEYS
_SIGNS: Final = np.where(np.arange(LOW) % 2, -1, 1).astype(np.float32)
BRUTE: Final = 2000
"""Up to so many pictures all pairs are compared; the tables of the search would take longer to make."""
BLOCK: Final = 4_000_000
"""Pairs that are looked at in one go: bounds the memory."""
MOST_OF_KEY: Final = 16
"""Hashes of one key that a query is compared with, always the same ones, as many of each part of a split:
bounds the time where a hundred thousand pictures are alike, as a fixed camera's are."""

Span = tuple[float, float]
"""From where to where a part of a picture reaches along an axis, in shares of its side."""


def _spans() -> tuple[Span, ...]:
    parts = [((0.0, s), ((1 - s) / 2, (1 + s) / 2), (1 - s, 1.0)) for s in (0.95, 0.9)]
    return ((0.0, 1.0), *parts[0], *parts[1])


SPANS: Final = _spans()
"""The whole; then nineteen twentieths and nine tenths of a side: its beginning, its middle, its end."""


@dataclass(frozen=True, order=True)
class Part:
    """A part of a picture, by the places in SPANS of its rows and its columns."""

    rows: int
    columns: int

    @property
    def opposite(self) -> "Part":
        return Part(_opposite(self.rows), _opposite(self.columns))


def _opposite(span: int) -> int:
    size, place = divmod(span - 1, 3)
    return 3 * size + 3 - place if span else 0


WHOLE: Final = Part(0, 0)


def _parts() -> tuple[Part, ...]:
    parts = {WHOLE}
    for of_size in ((1, 2, 3), (4, 5, 6)):
        parts |= {Part(rows, columns) for rows in of_size for columns in of_size}
        for end in (of_size[0], of_size[2]):
            parts |= {Part(0, end), Part(end, 0)}
    return tuple(sorted(parts))


PARTS: Final = _parts()
"""The whole, what is left when an edge, a corner or all around is cut off."""
MIDDLES: Final = (Part(2, 2), Part(5, 5))


@dataclass(frozen=True, order=True)
class View:
    """A part of a picture that was mirrored and turned."""

    part: Part
    orientation: Orientation = UPRIGHT


@dataclass(frozen=True)
class Comparison:
    """What of one picture is compared with a part of another."""

    view: View
    other: Part


PictureHashes = Mapping[View, Hashes]
"""uint64 [n] for each view"""


def comparisons(mirrored: bool) -> tuple[Comparison, ...]:
    """Whole with whole; a part with the whole that it may have become; and what two cuttings share. Of those
    that were turned the whole and the middles only."""
    found = [Comparison(View(part), WHOLE) for part in PARTS]
    found += [Comparison(View(part), part.opposite) for part in PARTS if part < part.opposite]
    if mirrored:
        found += [Comparison(View(part, MIRRORED), WHOLE) for part in PARTS]
        found += [Comparison(View(part, MIRRORED), part.opposite) for part in PARTS if part != part.opposite]
    for orientation in orientations(mirrored):
        if orientation.quarters:
            found.append(Comparison(View(WHOLE, orientation), WHOLE))
            for middle in MIDDLES:
                found += [
                    Comparison(View(middle, orientation), WHOLE),
                    Comparison(View(WHOLE, orientation), middle),
                ]
    return tuple(found)


def hash_pictures(grey: Grey, mirrored: bool) -> PictureHashes:
    """grey float32 [n, 32, 32], of any range; all views that comparisons are made of."""
    basis = np.concatenate([_basis(span) for span in SPANS])
    shape = (len(grey), len(SPANS), LOW, len(SPANS), LOW)
    frequencies = np.matmul(np.matmul(basis, grey), basis.T).reshape(shape)
    views = {comparison.view for comparison in comparisons(mirrored)}
    return {view: _above_median(_low(frequencies, view)) for view in sorted(views)}


def join_hashes(batches: Sequence[PictureHashes]) -> PictureHashes:
    return {view: np.concatenate([batch[view] for batch in batches]) for view in batches[0]}


def _low(frequencies: Grey, view: View) -> Grey:
    """float32 [n, 8, 8] of [n, spans, 8, spans, 8]: mirroring turns the sign of every second frequency, and a
    quarter turn is to change rows for columns and mirror."""
    rows, columns, orientation = view.part.rows, view.part.columns, view.orientation
    for _ in range(orientation.quarters):
        rows, columns = _opposite(columns), rows
    low = frequencies[:, rows, :, _opposite(columns) if orientation.mirrored else columns, :]
    low = low * _SIGNS if orientation.mirrored else low
    for _ in range(orientation.quarters):
        low = low.transpose(0, 2, 1) * _SIGNS
    return low


def _basis(span: Span) -> Grey:
    """float32 [8, 32]: the first rows of the discrete cosine transform (DCT-II) of a part, resampled
    linearly to 32 pixels."""
    low, high = span
    places = np.arange(SIDE)
    centres = (low + (high - low) * (places + 0.5) / SIDE) * SIDE - 0.5
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - places))
    cosines = 2 * np.cos(np.pi * np.arange(LOW)[:, None] * (2 * places + 1) / (2 * SIDE))
    basis: Grey = (cosines @ (weights / weights.sum(1, keepdims=True))).astype(np.float32)
    return basis


def _above_median(frequencies: Grey) -> Hashes:
    flat = np.ascontiguousarray(frequencies).reshape(-1, BITS)
    ordered = np.sort(flat, axis=1)  # which is vectorised: a sixth of the time of np.median
    median = (ordered[:, BITS // 2 - 1] + ordered[:, BITS // 2]) / 2
    bits = (flat > median[:, None]).take(ORDER, axis=1)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


@dataclass(frozen=True)
class Table:
    """Places of hashes by a group of their bits, the key: of each a few."""

    shift: np.uint64
    has: npt.NDArray[np.bool_]
    """[keys]: whether there are any. It fits into a core's cache, so that most of the looking up is quick"""
    starts: npt.NDArray[np.int32]
    """[keys + 1]: where those of each key are in `places`, and in `hashes`"""
    places: Places
    hashes: Hashes


@dataclass(frozen=True)
class Index:
    """Hashes that others are looked up among."""

    hashes: Hashes
    tables: tuple[Table, ...]
    """none of few, of which all are looked at"""

    @classmethod
    def of(cls, hashes: Hashes, split: Places | None = None) -> "Index":
        """`split` [n] are the parts of a split that they are in, 0 and up."""
        if len(hashes) <= BRUTE:
            return cls(hashes, ())
        parts = np.zeros(len(hashes), np.int64) if split is None else split
        return cls(hashes, tuple(_table(hashes, parts, np.uint64(KEY_BITS * key)) for key in range(KEYS)))


def close_pairs(queries: Hashes, index: Index) -> Iterator[tuple[Places, Places]]:
    """Pairs of places, in `queries` and in the index, whose hashes differ in RADIUS bits at most.

    Up to 2,000 hashes all are found, and of more those that differ in one bit at most in one of three groups
    of 21 bits (multi-index hashing; Norouzi, Punjani and Fleet 2012): all up to five bits, 68 % of those of
    seven, 37 % of nine. Time and memory grow with the number of hashes, not with that of their pairs: a query
    is compared with 16 hashes of a key at most, those of one part not crowding out another's.
    """
    if not index.tables:
        for some in np.array_split(np.arange(len(queries)), 1 + len(queries) * len(index.hashes) // BLOCK):
            close = np.bitwise_count(queries[some, None] ^ index.hashes) <= RADIUS
            first, second = np.divmod(np.flatnonzero(close), max(1, len(index.hashes)))
            yield some[first], second
    for table in index.tables:
        yield from _pairs_by_key(queries, table)


def _pairs_by_key(queries: Hashes, table: Table) -> Iterator[tuple[Places, Places]]:
    own = _keys(queries, table.shift)
    for changed in (0, *(1 << bit for bit in range(KEY_BITS))):
        keys = own ^ np.int32(changed)
        hits = np.flatnonzero(table.has[keys])
        starts = table.starts[keys[hits]]
        counts = table.starts[keys[hits] + 1] - starts
        for some in _in_blocks(counts):
            query, few = hits[some], counts[some]
            found = np.arange(few.sum()) + np.repeat(starts[some] - np.cumsum(few) + few, few)
            difference = np.repeat(queries[query], few) ^ table.hashes[found]
            close = np.flatnonzero(np.bitwise_count(difference) <= RADIUS)
            yield np.repeat(query, few)[close], table.places[found[close]]


def _table(hashes: Hashes, split: Places, shift: np.uint64) -> Table:
    keys = _keys(hashes, shift)
    places = _few_of_each(keys, split)
    counts = np.bincount(keys[places], minlength=1 << KEY_BITS)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return Table(shift, counts > 0, starts, places, hashes[places])


def _few_of_each(keys: npt.NDArray[np.int32], split: Places) -> Places:
    """Places of MOST_OF_KEY of each key at most, in the order of the keys: the first ones of each part."""
    parts = int(split.max(initial=0)) + 1
    both = keys * parts + split
    order = np.argsort(both, kind="stable")
    few: Places = order[ranks(both[order]) < max(1, MOST_OF_KEY // parts)]
    return few


def ranks(ordered: npt.NDArray[np.integer]) -> Places:
    """int64 [n]: of each of sorted keys, how many equal ones are before it."""
    starts = np.flatnonzero(is_first(ordered))
    return np.arange(len(ordered)) - np.repeat(starts, np.diff([*starts, len(ordered)]))


def is_first(ordered: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """[n]: which of sorted keys differ from the one before."""
    return np.concatenate([np.ones(min(1, len(ordered)), bool), ordered[1:] != ordered[:-1]])


def _keys(hashes: Hashes, shift: np.uint64) -> npt.NDArray[np.int32]:
    return ((hashes >> shift) & np.uint64((1 << KEY_BITS) - 1)).astype(np.int32)


def _in_blocks(counts: npt.NDArray[np.int32]) -> Iterator[slice]:
    """Of queries with so many hashes each, groups of some millions of pairs, one query at least."""
    total = np.cumsum(counts, dtype=np.int64)
    cuts = np.flatnonzero(np.diff(total // BLOCK)) + 1
    if len(counts):
        yield from map(slice, [0, *cuts], [*cuts, len(counts)])
