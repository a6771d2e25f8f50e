"""Which pictures may be nearly the same: pairs whose hashes are close, of each picture the nearest few."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from trainer.images.hashes import (
    RADIUS,
    Comparison,
    Index,
    PictureHashes,
    Places,
    View,
    close_pairs,
    comparisons,
    is_first,
    ranks,
)

NEAREST: Final = 3
"""Candidates of each picture that are looked at, of each part of the split: those of its own part, of which
there may be thousands, must not hide that it is held out too."""
WAITING: Final = 1_000_000
"""Candidates that are gathered before those that are not among the nearest are dropped: bounds the memory."""
PLACE, HOW, BOTH = 24, 7, 11
"""Bits of a picture's place, of a comparison's, and of that with how many bits of the hashes differ: each
candidate is packed into one number. So there may be 16 million pictures."""


def find_candidates(hashes: PictureHashes, split: Places, mirrored: bool) -> Places:
    """int64 [m, 3]: places of two pictures, and of the comparison in which their hashes are nearest; of each
    first picture the few nearest ones of each part. `split` [n] are the parts."""
    parts = int(split.max(initial=0)) + 1
    nearest, waiting, count = np.zeros((0, 4), np.int64), [np.zeros((0, 4), np.int64)], 0
    wanted = np.full(len(split) * parts, RADIUS + 1)
    for how, (comparison, index) in _indexed(hashes, split, mirrored):
        queries = hashes[comparison.view]
        for first, second in close_pairs(queries, index):
            bits = np.bitwise_count(queries[first] ^ index.hashes[second])
            near = np.flatnonzero((bits < wanted[first * parts + split[second]]) & (first != second))
            waiting.append(np.stack([first[near], second[near], bits[near], np.full_like(near, how)], 1))
            count += len(waiting[-1])
            if count > WAITING:
                nearest, waiting, count = _nearest(np.concatenate([nearest, *waiting]), split), [], 0
                _want_nearer(wanted, nearest, split, parts)
    return _nearest(np.concatenate([nearest, *waiting]), split)[:, [0, 1, 3]]


def _indexed(
    hashes: PictureHashes, split: Places, mirrored: bool
) -> Iterator[tuple[int, tuple[Comparison, Index]]]:
    """All comparisons, those with one part after each other: one index at a time is in memory."""
    compared = comparisons(mirrored)
    for other in sorted({comparison.other for comparison in compared}):
        index = Index.of(hashes[View(other)], split)
        for how, comparison in enumerate(compared):
            if comparison.other == other:
                yield how, (comparison, index)


def _nearest(found: Places, split: Places) -> Places:
    """Of [first, second, bits, how] each pair once, and of each first picture the NEAREST of each part.

    What is ordered by is packed into one number: sorting those takes a twentieth of the time of rows.
    """
    first, second, bits, how = found.T
    packed = np.sort((first << PLACE | second) << BOTH | bits << HOW | how)
    packed = packed[is_first(packed >> BOTH)]
    first, second, bits = packed >> PLACE + BOTH, packed >> BOTH & _ones(PLACE), packed >> HOW & _ones(4)
    parts = int(split.max(initial=0)) + 1
    of_part = first * parts + split[second]
    packed = np.sort((of_part << 4 | bits) << PLACE + HOW | second << HOW | packed & _ones(HOW))
    packed = packed[ranks(packed >> PLACE + BOTH) < NEAREST]
    first, bits = (packed >> PLACE + BOTH) // parts, packed >> PLACE + HOW & _ones(4)
    return np.stack([first, packed >> HOW & _ones(PLACE), bits, packed & _ones(HOW)], 1)


def _want_nearer(wanted: Places, nearest: Places, split: Places, parts: int) -> None:
    """Of pictures that have all they may have of a part: nearer than the last of these."""
    of_part = nearest[:, 0] * parts + split[nearest[:, 1]]
    last = np.flatnonzero(of_part[NEAREST - 1 :] == of_part[: 1 - NEAREST]) + NEAREST - 1
    wanted[of_part[last]] = nearest[last, 2]


def _ones(bits: int) -> int:
    return (1 << bits) - 1
