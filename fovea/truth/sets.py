"""Prediction sets: of an image, the labels that hold its truth as often as was asked for.

An image that the model is very sure of may have an empty set, by its draw: as often as sets of one label
would hold the truth more often than was asked. Nothing is wrong with such an image.

Adaptive and randomised: Y. Romano, M. Sesia and E. Candès, Classification with Valid and Adaptive Coverage,
2020, arXiv 2006.02544.
"""

import math
import zlib
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fovea.frozen import Frozen

Probabilities = npt.NDArray[np.float32]
"""[n, classes], rows of which sum to 1."""
Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Crops = npt.NDArray[np.uint8]


class MeasuredSets(Frozen):
    """What sets came to on images by which they were not chosen."""

    images: int = Field(ge=1)
    covered: int = Field(ge=0, description="images whose set holds their label")
    interval_95: tuple[float, float] = Field(description="95 % confidence interval of the share covered")
    mean_size: float = Field(ge=0, description="labels in a set")
    empty: int = Field(ge=0, description="images whose set holds no label")

    @property
    def coverage(self) -> float:
        return self.covered / self.images


class PredictionSets(Frozen):
    """How sets of labels are made of an image's probabilities."""

    method: Literal["aps"] = Field(
        "aps", description="adaptive prediction sets, randomised by the image's own pixels: arXiv 2006.02544"
    )
    coverage: float = Field(gt=0, lt=1, description="how often a set is to hold the truth: what was asked")
    quantile: float = Field(ge=0, le=1, description="largest score of a label that is in a set")
    images: int = Field(ge=1, description="held-out images that the quantile was chosen on")
    measured: MeasuredSets | None = Field(
        None, description="on the part test; none where there is no such part"
    )


def draws(crops: Crops) -> Floats:
    """float64 [n] in [0, 1), which randomise the sets of crops uint8 [n, S, S, 3]: by its pixels alone, so
    that an image has the same set wherever it is computed. crc32 of the bytes, over 2^32."""
    return np.array([zlib.crc32(np.ascontiguousarray(crop).data) for crop in crops], np.float64) / 2**32


def sizes(probabilities: Probabilities, draw: Floats, quantile: float) -> Indices:
    """int64 [n]: how many labels each set holds, which are the most probable ones, 0 for none.

    `draw` are the images' `draws`, [n].
    """
    _, scores = _ranked(probabilities, draw)
    return np.asarray((scores <= quantile).sum(axis=1), np.int64)


def label_sets(probabilities: Probabilities, draw: Floats, quantile: float) -> list[list[int]]:
    """The indices of each set's labels, the most probable first; ties by lower index."""
    order, scores = _ranked(probabilities, draw)
    return [row[:size].tolist() for row, size in zip(order, (scores <= quantile).sum(axis=1), strict=True)]


def scores_of(probabilities: Probabilities, targets: Indices, draw: Floats) -> Floats:
    """float64 [n]: the probability of all labels above the `targets` int64 [n], and a share of their own."""
    order, scores = _ranked(probabilities, draw)
    return np.asarray(scores[order == targets[:, None]], np.float64)


def quantile_of(scores: Floats, coverage: float) -> float | None:
    """The score that the next image's exceeds no more often than `coverage` leaves, by `scores_of` n images.

    It is the ceil((n + 1) coverage)-th smallest, or, for rounding to change nothing, half way from it to the
    next one; None where n is too small for there to be one.
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # a product may be a little above a whole number
    if rank > len(scores):
        return None
    return float(np.sort(scores)[rank - 1 : rank + 1].mean())


def fewest_images(coverage: float) -> int:
    """That `quantile_of` needs."""
    return math.ceil(coverage / (1 - coverage) - 1e-9)


def _ranked(probabilities: Probabilities, draw: Floats) -> tuple[Indices, Floats]:
    """Labels by falling probability, ties by lower index, and their scores, which do not fall:
    both [n, classes]."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1).astype(np.float64)
    above = np.cumsum(ranked, axis=1)
    above = np.concatenate([np.zeros_like(above[:, :1]), above[:, :-1]], axis=1)
    # Rounded as they are, a row's probabilities may sum to a little more than 1.
    return order, np.minimum(above + draw[:, None] * ranked, 1)
