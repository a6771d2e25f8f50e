"""Pictures that were saved anew: resized, encoded again, cropped a little, mirrored, turned.

Candidates are pairs whose perceptual hashes are close; each is then laid upon the other and compared pixel by
pixel. How alike they have to be depends on the set: pictures of different classes surely are different
ones, and how alike the most alike of those are says how little likeness means here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.images.candidates import find_candidates
from trainer.images.field import Pictures, Places
from trainer.images.hashes import (
    SIDE,
    Comparison,
    Grey,
    PictureHashes,
    comparisons,
    hash_pictures,
    join_hashes,
)
from trainer.images.likeness import (
    COARSE,
    COARSE_STEPS,
    FINE,
    FINE_STEPS,
    SKETCH_STEPS,
    align,
    first_guess,
    likeness,
    sketch_likeness,
)
from trainer.images.orientation import UPRIGHT, Orientation

BATCH: Final = 128
LEAST_SPREAD: Final = 5.0
"""Standard deviation of a picture's light, in levels of 255: what is flatter has nothing to be known by."""
SKETCH_DISTANCE: Final = 0.15
"""From 1, the likeness of unaligned sketches of a copy, where those of another class have nothing in common;
with less, alignment would be wasted."""
SLACK: Final = 2.0
"""By which a copy may seem more distant before it is compared as closely as can be: of 4,000 pairs of
photographs and digits nine are passed over for it."""
SKETCH: Final = 16
"""Pixels a side of the grey pictures that are kept of all, for most candidates are told apart by them."""
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
    orientation: Orientation = UPRIGHT
    """what makes the second of the first"""


def find_near_duplicates(
    pictures: Pictures, targets: npt.NDArray[np.int64], size: int, mirrored: bool
) -> list[Pair]:
    """Of pictures that are no byte-equal copies of each other; `targets` [n] are their classes, `size` the
    side of the smaller of them in pixels. Turned ones too, mirrored ones where `mirrored`. Each field is a
    part of the split.

    Not all pairs are found where many are alike, but three of each picture with each part at most (so that of
    n pictures of a train, val and test part 9 n are compared): enough to connect them.
    """
    known = _known(pictures, mirrored)
    candidates = find_candidates(known.hashes, pictures.field_of[known.places], mirrored)
    if not len(candidates):
        return []
    different = distance_of_classes(pictures, targets, known.places, size)
    most = MOST_DISTANT * different**3
    likely, place = _likely(known.sketches, candidates, mirrored, SKETCH_DISTANCE * different, most)
    if not len(likely):
        return []
    likely[:, :2] = known.places[likely[:, :2]]
    alike = _alike(pictures, likely, mirrored, place, size, most)
    return _pairs(likely[alike >= 1 - most], comparisons(mirrored))


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
    steps = SKETCH_STEPS + COARSE_STEPS
    distances = 1 - _alike(pictures, pairs, False, _guesses(pairs, mirrored=False), size, 1.0, steps)
    return float(np.clip(np.quantile(distances, QUANTILE), 0, 1))


def _pairs(found: Places, compared: Sequence[Comparison]) -> list[Pair]:
    """Of [first, second, how], each pair once."""
    pairs = []
    for first, second, how in found.tolist():
        orientation = compared[how].view.orientation
        turned = Pair(second, first, orientation.inverse)
        pairs.append(Pair(first, second, orientation) if first < second else turned)
    return sorted(pairs)


class _Known(NamedTuple):
    """Of pictures that have something to be known by."""

    places: Places
    hashes: PictureHashes
    sketches: Tensor
    """uint8 [n, 1, 16, 16]"""


def _known(pictures: Pictures, mirrored: bool) -> _Known:
    hashes, kept, sketches = [], [], []
    for batch in _batches(np.arange(len(pictures))):
        small = pictures.at(batch, SIDE)
        grey = _grey(small)
        is_known = grey.std((1, 2)) >= LEAST_SPREAD
        hashes.append(hash_pictures(grey[is_known], mirrored))
        kept.append(batch[is_known])
        own = small[torch.from_numpy(is_known)].float().mean(1, keepdim=True)
        sketches.append(F.avg_pool2d(own, SIDE // SKETCH).round().byte())
    return _Known(np.concatenate(kept), join_hashes(hashes), torch.cat(sketches))


def _grey(pictures: Tensor) -> Grey:
    """float32 [n, S, S], by the weights of ITU-R 601."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    light: Grey = torch.einsum("nchw,c->nhw", pictures.float(), weights).numpy()
    return light


def _batches(places: Places, size: int = BATCH) -> Iterator[Places]:
    return (places[start : start + size] for start in range(0, len(places), size))


def _likely(
    sketches: Tensor, candidates: Places, mirrored: bool, most_unaligned: float, most: float
) -> tuple[Places, Tensor]:
    """Candidates whose sketches are alike, each pair once; and where one lies upon the other [m, 4]."""
    kept, places, scores = [], [torch.zeros(0, 4)], []
    for batch in _batches(candidates, 4 * BATCH):
        first, second = (sketches[torch.from_numpy(batch[:, side])].float() for side in (0, 1))
        first, place = _as_compared(first, batch, mirrored), _guesses(batch, mirrored)
        (own,) = torch.nonzero(sketch_likeness(first, second, place) >= 1 - most_unaligned, as_tuple=True)
        first, second = first[own], second[own]
        place = align(first, second, place[own], SKETCH_STEPS)
        alike = sketch_likeness(first, second, place)
        is_alike = alike >= 1 - SLACK * most
        kept.append(batch[own[is_alike].numpy()])
        places.append(place[is_alike])
        scores.append(alike[is_alike].numpy())
    found = np.concatenate(kept)
    once = _once(found, np.concatenate(scores), mirrored)
    return found[once], torch.cat(places)[torch.from_numpy(once)]


def _once(found: Places, scores: npt.NDArray[np.float32], mirrored: bool) -> Places:
    """Of pairs that were found from either side the better one, in order; not turned ones before turned."""
    compared = comparisons(mirrored)
    rank = np.array([2 * c.view.orientation.quarters + c.view.orientation.mirrored for c in compared])
    both = np.sort(found[:, :2], axis=1)
    order = np.lexsort((-scores, rank[found[:, 2]], both[:, 1], both[:, 0]))
    both = both[order]
    is_new = np.concatenate([np.ones(min(1, len(both)), bool), (both[1:] != both[:-1]).any(1)])
    once: Places = order[is_new]
    return once


def _alike(
    pictures: Pictures,
    candidates: Places,
    mirrored: bool,
    place: Tensor,
    size: int,
    most: float,
    steps: int = COARSE_STEPS,
) -> npt.NDArray[np.float32]:
    """float32 [m], from where the alignment begins on. Small pictures are not enlarged, and of larger ones
    those only are compared closely that are alike at half the size."""
    found = [np.zeros(0, np.float32)]
    for batch, start in zip(_batches(candidates), torch.split(place, BATCH), strict=True):
        first, second = _both(pictures, batch, FINE if size >= FINE else min(size, COARSE))
        first = _as_compared(first, batch, mirrored)
        if size < FINE:
            found.append(_compared(first, second, start, steps)[0].numpy())
            continue
        alike, aligned = _compared(F.avg_pool2d(first, 2), F.avg_pool2d(second, 2), start, steps)
        (own,) = torch.nonzero(alike >= 1 - SLACK * most, as_tuple=True)
        alike[own] = _compared(first[own], second[own], aligned[own], FINE_STEPS)[0]
        found.append(alike.numpy())
    return np.concatenate(found)


def _both(pictures: Pictures, candidates: Places, side: int) -> tuple[Tensor, Tensor]:
    """float32 [n, 3, side, side], each made smaller once."""
    distinct, place = np.unique(candidates[:, :2], return_inverse=True)
    small, places = pictures.at(distinct, side).float(), torch.from_numpy(place.reshape(-1, 2))
    return small[places[:, 0]], small[places[:, 1]]


def _compared(first: Tensor, second: Tensor, place: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """How alike they are, and where the first lies best."""
    aligned = align(first.mean(1, keepdim=True), second.mean(1, keepdim=True), place, steps)
    return likeness(first, second, aligned), aligned


def _as_compared(pictures: Tensor, candidates: Places, mirrored: bool) -> Tensor:
    """The first picture of each candidate [n, C, S, S], mirrored and turned as the comparison says."""
    compared, turned = comparisons(mirrored), pictures.clone()
    orientations = [compared[how].view.orientation for how in candidates[:, 2]]
    for orientation in {*orientations} - {UPRIGHT}:
        own = torch.tensor([one == orientation for one in orientations])
        turned[own] = orientation.of(pictures[own])
    return turned


def _guesses(candidates: Places, mirrored: bool) -> Tensor:
    guesses = torch.tensor([first_guess(comparison) for comparison in comparisons(mirrored)])
    return guesses[torch.from_numpy(candidates[:, 2])]
