"""Pictures that were saved anew: resized, encoded again, cropped a little, mirrored.

Candidates are pairs whose perceptual hashes are close; each is then laid upon the other and compared pixel by
pixel. How alike they have to be depends on the set: pictures of different classes surely are different
ones, and how alike the most alike of those are says how little likeness means here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.images.field import Pictures, Places
from trainer.images.hashes import (
    RADIUS,
    SIDE,
    Grey,
    PictureHashes,
    close_pairs,
    comparisons,
    hash_pictures,
    join_hashes,
)
from trainer.images.likeness import (
    COARSE,
    COARSE_STEPS,
    FINE,
    FINE_STEPS,
    align,
    first_guess,
    likeness,
    sketch_likeness,
)

BATCH: Final = 128
LEAST_SPREAD: Final = 5.0
"""Standard deviation of a picture's light, in levels of 255: what is flatter has nothing to be known by."""
NEAREST: Final = 3
"""Candidates of each picture that are looked at, of each part of the split: those of its own part, of which
there may be thousands, must not hide that it is held out too."""
WAITING: Final = 1_000_000
"""Candidates that are gathered before those that are not among the nearest are dropped: bounds the memory."""
PLACE, HOW, BOTH = 24, 7, 11
"""Bits of a picture's place, of a comparison's, and of that with how many bits of the hashes differ: each
candidate is packed into one number. So there may be 16 million pictures."""
SKETCH_DISTANCE: Final = 0.15
"""From 1, the likeness of unaligned sketches of a copy, where those of another class have nothing in common;
with less, alignment would be wasted."""
SAMPLE, AMONG = 200, 2000
"""Pictures whose most alike one of another class is looked for, and among how many."""
QUANTILE: Final = 0.25
"""Of their distances, which is taken: some of them may be copies all the same, under two labels."""
MOST_DISTANT: Final = 0.25
"""Distance of a copy where those of another class have nothing in common. Where they have, it falls with the
cube of theirs: so no two of 1,797 digits are taken for copies, and most copies of digits and of photographs
are found (`python -m benchmarks.duplicates`)."""


@dataclass(frozen=True, order=True)
class Pair:
    """Places of two pictures, the first lower, that are nearly the same."""

    first: int
    second: int
    mirrored: bool = False


def find_near_duplicates(
    pictures: Pictures, targets: npt.NDArray[np.int64], size: int, mirrored: bool
) -> list[Pair]:
    """Of pictures that are no byte-equal copies of each other; `targets` [n] are their classes, `size` the
    side of the smaller of them in pixels. Mirrored ones where `mirrored`. Each field is a part of the split.

    Not all pairs are found where many are alike, but three of each picture with each part at most (so that of
    n pictures of a train, val and test part 9 n are compared): enough to connect them.
    """
    hashes, places = _hash(pictures, mirrored)
    candidates = _candidates(hashes, pictures.field_of[places], mirrored)
    if not len(candidates):
        return []
    candidates[:, :2] = places[candidates[:, :2]]
    different = distance_of_classes(pictures, targets, places, size)
    likely = _sketched_alike(pictures, candidates, mirrored, 1 - SKETCH_DISTANCE * different)
    if not len(likely):
        return []
    found = _alike(pictures, likely, size, mirrored) >= 1 - MOST_DISTANT * different**3
    turned = np.array([comparison.mirrored for comparison in comparisons(mirrored)])
    pairs: dict[tuple[int, int], bool] = {}
    for first, second, how in likely[found].tolist():
        key = (min(first, second), max(first, second))
        pairs[key] = pairs.get(key, True) and bool(turned[how])
    return sorted(Pair(*key, how) for key, how in pairs.items())


def distance_of_classes(
    pictures: Pictures, targets: npt.NDArray[np.int64], places: Places, size: int
) -> float:
    """Of pictures from the most alike ones of other classes, 0 to 1: the first quartile of a sample."""
    generator = np.random.default_rng(0)
    among = np.sort(generator.permutation(places)[:AMONG])
    small = np.concatenate([_grey(pictures.at(batch, 16)) for batch in _batches(among)]).reshape(
        len(among), -1
    )
    small -= small.mean(1, keepdims=True)
    small /= np.linalg.norm(small, axis=1, keepdims=True) + 1e-6
    chosen = generator.permutation(len(among))[:SAMPLE]
    correlation = small[chosen] @ small.T
    correlation[targets[among[chosen]][:, None] == targets[among]] = -2
    nearest = correlation.argmax(1)
    is_other = correlation.max(1) > -2
    if not is_other.any():
        return 1.0
    pairs = np.stack([among[chosen], among[nearest], np.zeros_like(chosen)], 1)[is_other]
    distances = 1 - _alike(pictures, pairs, size, mirrored=False)
    return float(np.clip(np.quantile(distances, QUANTILE), 0, 1))


def _hash(pictures: Pictures, mirrored: bool) -> tuple[PictureHashes, Places]:
    """With the places of the pictures that have something to be known by."""
    hashes, kept = [], []
    for batch in _batches(np.arange(len(pictures))):
        grey = _grey(pictures.at(batch, SIDE))
        is_known = grey.std((1, 2)) >= LEAST_SPREAD
        hashes.append(hash_pictures(grey[is_known], mirrored))
        kept.append(batch[is_known])
    return join_hashes(hashes), np.concatenate(kept)


def _grey(pictures: Tensor) -> Grey:
    """float32 [n, S, S], by the weights of ITU-R 601."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    light: Grey = torch.einsum("nchw,c->nhw", pictures.float(), weights).numpy()
    return light


def _batches(places: Places) -> Iterator[Places]:
    return (places[start : start + BATCH] for start in range(0, len(places), BATCH))


def _candidates(hashes: PictureHashes, split: Places, mirrored: bool) -> Places:
    """int64 [m, 3]: places of two pictures, and of the comparison in which their hashes are nearest; of each
    first picture the few nearest ones of each part. `split` [n] are the parts."""
    parts = int(split.max(initial=0)) + 1
    nearest, waiting = np.zeros((0, 4), np.int64), [np.zeros((0, 4), np.int64)]
    wanted = np.full(len(split) * parts, RADIUS + 1)
    for how, comparison in enumerate(comparisons(mirrored)):
        queries = (hashes.mirrored if comparison.mirrored else hashes.plain)[comparison.part]
        base = hashes.plain[comparison.other]
        for first, second in close_pairs(queries, base, split):
            bits = np.bitwise_count(queries[first] ^ base[second]).astype(np.int64)
            nearer = (bits < wanted[first * parts + split[second]]) & (first != second)
            waiting.append(np.stack([first, second, bits, np.full_like(first, how)], 1)[nearer])
            if sum(map(len, waiting)) > WAITING:
                nearest, waiting = _nearest(np.concatenate([nearest, *waiting]), split), []
                _want_nearer(wanted, nearest, split, parts)
    return _nearest(np.concatenate([nearest, *waiting]), split)[:, [0, 1, 3]]


def _nearest(found: Places, split: Places) -> Places:
    """Of [first, second, bits, how] each pair once, and of each first picture the NEAREST of each part.

    What is ordered by is packed into one number: sorting those takes a twentieth of the time of rows.
    """
    first, second, bits, how = found.T
    packed = np.sort((first << PLACE | second) << BOTH | bits << HOW | how)
    packed = packed[_first_of(packed >> BOTH)]
    first, second, bits = packed >> PLACE + BOTH, packed >> BOTH & _ones(PLACE), packed >> HOW & _ones(4)
    parts = int(split.max(initial=0)) + 1
    of_part = first * parts + split[second]
    packed = np.sort((of_part << 4 | bits) << PLACE + HOW | second << HOW | packed & _ones(HOW))
    of_part = packed >> PLACE + BOTH
    starts = np.flatnonzero(_first_of(of_part))
    rank = np.arange(len(packed)) - np.repeat(starts, np.diff([*starts, len(packed)]))
    packed = packed[rank < NEAREST]
    first, bits = (packed >> PLACE + BOTH) // parts, packed >> PLACE + HOW & _ones(4)
    return np.stack([first, packed >> HOW & _ones(PLACE), bits, packed & _ones(HOW)], 1)


def _want_nearer(wanted: Places, nearest: Places, split: Places, parts: int) -> None:
    """Of pictures that have all they may have of a part: nearer than the last of these."""
    of_part = nearest[:, 0] * parts + split[nearest[:, 1]]
    last = np.flatnonzero(of_part[NEAREST - 1 :] == of_part[: 1 - NEAREST]) + NEAREST - 1
    wanted[of_part[last]] = nearest[last, 2]


def _ones(bits: int) -> int:
    return (1 << bits) - 1


def _first_of(keys: Places) -> npt.NDArray[np.bool_]:
    """Which of sorted ones differ from the one before."""
    return np.concatenate([np.ones(min(1, len(keys)), bool), keys[1:] != keys[:-1]])


def _sketched_alike(pictures: Pictures, candidates: Places, mirrored: bool, least: float) -> Places:
    kept = []
    for batch in _batches(candidates):
        first, second = (pictures.at(batch[:, side], COARSE) for side in (0, 1))
        alike = sketch_likeness(first, second, _guesses(batch, mirrored)).numpy()
        kept.append(batch[alike >= least])
    return np.concatenate(kept)


def _alike(pictures: Pictures, candidates: Places, size: int, mirrored: bool) -> npt.NDArray[np.float32]:
    """float32 [m]"""
    found = []
    for batch in _batches(candidates):
        place = _guesses(batch, mirrored)
        for side, steps in _sides(size):
            first, second = (pictures.at(batch[:, column], side).float() for column in (0, 1))
            place = align(first.mean(1, keepdim=True), second.mean(1, keepdim=True), place, steps)
        found.append(likeness(first, second, place).numpy())
    return np.concatenate(found)


def _sides(size: int) -> Iterable[tuple[int, int]]:
    """Pixels a side, and steps of the alignment: small pictures are not enlarged."""
    coarse, fine = min(COARSE, size), min(FINE, size)
    return ((coarse, COARSE_STEPS),) if coarse == fine else ((coarse, COARSE_STEPS), (fine, FINE_STEPS))


def _guesses(candidates: Places, mirrored: bool) -> Tensor:
    guesses = torch.tensor([first_guess(comparison) for comparison in comparisons(mirrored)])
    return guesses[torch.from_numpy(candidates[:, 2])]
