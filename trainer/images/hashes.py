"""Perceptual hashes of small grey pictures, and the pairs of pictures whose hashes are close.

The hash is phash, of 64 bits, as the library imagehash computes it (a test compares the bits), but for a
whole batch, for parts of a picture and mirrored: one matrix product gives all of them, where the library
would take a tenth of a millisecond for each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]
Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

SIDE: Final = 32
"""Of the pictures that are hashed, in pixels."""
RADIUS: Final = 9
"""Bits in which the hashes of a copy may differ: `python -m benchmarks.duplicates`."""
LOW: Final = 8
BITS: Final = LOW * LOW
KEYS: Final = 3
KEY_BITS: Final = BITS // KEYS
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

    @property
    def mirrored(self) -> "Part":
        return Part(self.rows, _opposite(self.columns))


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


@dataclass(frozen=True)
class Comparison:
    """The part of one picture that is compared with a part of another, mirrored or not."""

    part: Part
    other: Part
    mirrored: bool


def comparisons(mirrored: bool) -> tuple[Comparison, ...]:
    """Whole with whole; a part with the whole that it may have become; and what two cuttings share."""
    plain = [Comparison(part, WHOLE, False) for part in PARTS]
    plain += [Comparison(part, part.opposite, False) for part in PARTS if part < part.opposite]
    if not mirrored:
        return tuple(plain)
    turned = [Comparison(part, WHOLE, True) for part in PARTS]
    shared = [Comparison(part, part.opposite.mirrored, True) for part in PARTS if part != part.opposite]
    return (*plain, *turned, *shared)


@dataclass(frozen=True)
class PictureHashes:
    """uint64 [n] for each part."""

    plain: dict[Part, Hashes]
    mirrored: dict[Part, Hashes]
    """of what the same part shows, mirrored; none where mirroring is not asked"""


def hash_pictures(grey: Grey, mirrored: bool) -> PictureHashes:
    """grey float32 [n, 32, 32], of any range."""
    basis = np.concatenate([_basis(span) for span in SPANS])
    signs = np.where(np.arange(LOW) % 2, -1, 1).astype(np.float32)
    shape = (len(grey), len(SPANS), LOW, len(SPANS), LOW)
    frequencies = np.matmul(np.matmul(basis, grey), basis.T).reshape(shape)
    of_part = {part: frequencies[:, part.rows, :, part.columns, :] for part in PARTS}
    plain = {part: _above_median(low) for part, low in of_part.items()}
    return PictureHashes(
        plain, {part: _above_median(low * signs) for part, low in of_part.items()} if mirrored else {}
    )


def join_hashes(batches: list[PictureHashes]) -> PictureHashes:
    return PictureHashes(
        {part: np.concatenate([b.plain[part] for b in batches]) for part in batches[0].plain},
        {part: np.concatenate([b.mirrored[part] for b in batches]) for part in batches[0].mirrored},
    )


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
    return np.packbits(flat > median[:, None], axis=1).view(">u8")[:, 0].astype(np.uint64)


def close_pairs(
    queries: Hashes, base: Hashes, split: Places | None = None
) -> Iterator[tuple[Places, Places]]:
    """Pairs of places, in `queries` and in `base`, whose hashes differ in RADIUS bits at most; `split` [n]
    are the parts of a split that those of `base` are in, 0 and up.

    Up to 2,000 hashes all are found, and of more those that differ in one bit at most in one of three groups
    of 21 bits (multi-index hashing; Norouzi, Punjani and Fleet 2012): all up to five bits, 68 % of those of
    seven, 37 % of nine. Time and memory grow with the number of hashes, not with that of their pairs: a query
    is compared with 16 hashes of a key at most, those of one part not crowding out another's.
    """
    if max(len(queries), len(base)) <= BRUTE:
        close = np.bitwise_count(queries[:, None] ^ base) <= RADIUS
        first, second = np.divmod(np.flatnonzero(close), max(1, len(base)))  # sooner than nonzero of a table
        yield first, second
        return
    queries, base = _mixed(queries), _mixed(base)
    for shift in _SHIFTS:
        yield from _pairs_by_key(
            queries, base, np.zeros_like(base, np.int64) if split is None else split, shift
        )


_SHIFTS: Final = tuple(np.uint64(KEY_BITS * number) for number in range(KEYS))
_ORDER: Final = np.random.default_rng(0).permutation(BITS)


def _mixed(hashes: Hashes) -> Hashes:
    """Their bits in another order: those of neighbouring frequencies go together, and would share a key."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)[:, _ORDER]
    packed = np.packbits(np.ascontiguousarray(bits), axis=1)
    return packed.view(">u8")[:, 0].astype(np.uint64)


def _pairs_by_key(
    queries: Hashes, base: Hashes, split: Places, shift: np.uint64
) -> Iterator[tuple[Places, Places]]:
    keys, wanted = _keys(base, shift), _keys(queries, shift)
    order = _few_of_each(keys, split)
    starts = np.zeros((1 << KEY_BITS) + 1, np.int64)
    np.cumsum(np.bincount(keys[order], minlength=1 << KEY_BITS), out=starts[1:])
    for changed in (0, *(1 << bit for bit in range(KEY_BITS))):
        first = starts[wanted ^ changed]
        counts = starts[(wanted ^ changed) + 1] - first
        hits = np.flatnonzero(counts)
        for some in _in_blocks(hits, counts):
            query = np.repeat(some, counts[some])
            within = np.arange(len(query)) - np.repeat(np.cumsum(counts[some]) - counts[some], counts[some])
            found = order[first[query] + within]
            close = np.bitwise_count(queries[query] ^ base[found]) <= RADIUS
            yield query[close], found[close]


def _few_of_each(keys: Places, split: Places) -> Places:
    """Places of MOST_OF_KEY of each key at most, in the order of the keys: the first ones of each part."""
    parts = int(split.max(initial=0)) + 1
    both = keys * parts + split
    order = np.argsort(both, kind="stable")
    ordered = both[order]
    is_first = np.concatenate([np.ones(min(1, len(both)), bool), ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(is_first)
    rank = np.arange(len(both)) - np.repeat(starts, np.diff([*starts, len(both)]))
    few: Places = order[rank < max(1, MOST_OF_KEY // parts)]
    return few


def _keys(hashes: Hashes, shift: np.uint64) -> Places:
    return ((hashes >> shift) & np.uint64((1 << KEY_BITS) - 1)).astype(np.int64)


def _in_blocks(hits: Places, counts: Places) -> Iterator[Places]:
    """Queries in groups of some millions of pairs, one query at least."""
    if len(hits):
        total = np.cumsum(counts[hits])
        yield from np.split(hits, np.flatnonzero(np.diff(total // BLOCK)) + 1)
