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
    nearest = np.zeros((0, 4), np.int64)
    for how, comparison in enumerate(comparisons(mirrored)):
        queries = (hashes.mirrored if comparison.mirrored else hashes.plain)[comparison.part]
        base = hashes.plain[comparison.other]
        for first, second in close_pairs(queries, base, split):
            differ = first != second
            first, second = first[differ], second[differ]
            bits = np.bitwise_count(queries[first] ^ base[second]).astype(np.int64)
            found = np.stack([first, second, bits, np.full_like(first, how)], 1)
            if len(found):
                nearest = _nearest(np.concatenate([nearest, _nearest(found, split)]), split)
    return nearest[:, [0, 1, 3]]


def _nearest(found: Places, split: Places) -> Places:
    """Of [first, second, bits, how] each pair once, and of each first picture the NEAREST of each part."""
    found = found[np.lexsort((found[:, 2], found[:, 1], found[:, 0]))]
    found = found[_first_of(found[:, :2])]
    found = found[np.lexsort((found[:, 2], split[found[:, 1]], found[:, 0]))]
    starts = np.flatnonzero(_first_of(np.stack([found[:, 0], split[found[:, 1]]], 1)))
    rank = np.arange(len(found)) - np.repeat(starts, np.diff([*starts, len(found)]))
    return found[rank < NEAREST]


def _first_of(keys: Places) -> npt.NDArray[np.bool_]:
    """Which rows of sorted ones differ from the row before."""
    return np.concatenate([np.ones(min(1, len(keys)), bool), (keys[1:] != keys[:-1]).any(1)])


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
