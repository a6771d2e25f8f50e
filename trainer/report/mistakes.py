"""What the network gets wrong, with the images: top losses, confusion matrix, most confused pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from fovea.images.preprocess import Pixels
from trainer.evaluate.label_errors import doubtful_labels
from trainer.evaluate.metrics import Logits, Pair, Targets, most_confused
from trainer.explain.pictures import data_uri, overlay, picture
from trainer.explain.saliency import NoMaps, saliency_maps
from trainer.images.batches import Images
from trainer.network.model import Network
from trainer.report.album import Album, Picture
from trainer.report.outcomes import Outcomes, in_turn

LARGEST_MATRIX: Final = 40
"""More classes than this are told by their most confused pairs alone."""
MOST_PICTURES: Final = 400
"""In the cells of the matrix, over all."""
MOST_DOUBTFUL: Final = 12
SIDE: Final = 160


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `share` of its row, in [0, 1]."""

    truth: int
    predicted: int
    count: int
    share: float
    pictures: tuple[Picture, ...] = ()

    @property
    def right(self) -> bool:
        return self.truth == self.predicted


@dataclass(frozen=True)
class ShownPair:
    """A most confused pair with some of its images."""

    pair: Pair
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class DoubtfulLabels:
    """How many labels are doubted, and the images of the most doubtful."""

    count: int
    pictures: tuple[Picture, ...]


def show_worst(album: Album, heldout: Images, outcomes: Outcomes, network: Network) -> list[Picture]:
    """The top losses, each with a saliency map of what was predicted, where the architecture gives one."""
    worst = np.array(outcomes.worst(), np.int64)
    pixels = np.ascontiguousarray(heldout.pixels(worst))
    pictures = [
        album.take(index, data_uri(picture(crop, SIDE)), heat)
        for index, crop, heat in zip(
            worst.tolist(), pixels, _heat(network, pixels, outcomes.predicted[worst]), strict=True
        )
    ]
    return [taken for taken in pictures if taken]


def show_doubtful(album: Album, heldout: Images, outcomes: Outcomes, probabilities: Logits) -> DoubtfulLabels:
    """The labels that are most likely wrong among those that the network does not give. probabilities float32
    [n, classes], of which `outcomes` are."""
    doubted = doubtful_labels(probabilities, heldout.targets)
    doubted = doubted[outcomes.predicted[doubted] != heldout.targets[doubted]]
    taken = (album.thumbnail(index) for index in doubted[:MOST_DOUBTFUL].tolist())
    return DoubtfulLabels(len(doubted), tuple(picture for picture in taken if picture))


def _heat(network: Network, pixels: Pixels, classes: Targets) -> Sequence[str | None]:
    """Data URIs of the images with what speaks for these classes upon them."""
    try:
        maps = saliency_maps(network, pixels, classes)
    except NoMaps:
        return [None] * len(pixels)
    return [data_uri(overlay(crop, saliency, SIDE)) for crop, saliency in zip(pixels, maps, strict=True)]


def show_pairs(album: Album, outcomes: Outcomes, counts: Targets, labels: tuple[str, ...]) -> list[ShownPair]:
    """The most confused pairs. counts int64 [classes, classes]: rows are the truth."""
    pairs, index = most_confused(counts, labels), {label: place for place, label in enumerate(labels)}
    groups = [outcomes.members(index[pair.truth], index[pair.predicted]) for pair in pairs]
    taken = _take(album, groups, MOST_PICTURES)
    return [ShownPair(pair, tuple(pictures)) for pair, pictures in zip(pairs, taken, strict=True)]


def show_matrix(album: Album, outcomes: Outcomes, counts: Targets) -> list[list[Cell]]:
    """Every cell of the matrix; none where there are too many classes.

    Where there is no room for all pictures, mistakes come before right answers, and frequent ones first.
    """
    if len(counts) > LARGEST_MATRIX:
        return []
    places = [(int(t), int(p)) for t, p in zip(*counts.nonzero(), strict=True)]
    places.sort(key=lambda place: (place[0] == place[1], -counts[place]))
    taken = _take(album, [outcomes.members(*place) for place in places], MOST_PICTURES)
    pictures = dict(zip(places, taken, strict=True))
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    return [
        [
            Cell(truth, said, int(count), float(shares[truth, said]), tuple(pictures.get((truth, said), ())))
            for said, count in enumerate(row)
        ]
        for truth, row in enumerate(counts)
    ]


def _take(album: Album, groups: Sequence[list[int]], most: int) -> list[list[Picture]]:
    """Thumbnails of each group's images, in turn, until `most` are taken or the album is full."""
    taken: list[list[Picture]] = [[] for _ in groups]
    for number, index in islice(in_turn(list(groups)), most):
        if (thumbnail := album.thumbnail(index)) is None:
            break
        taken[number].append(thumbnail)
    return taken
