"""Prediction sets, chosen on the held-out images and measured on those that nothing was chosen on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.truth.sets import (
    Floats,
    MeasuredSets,
    PredictionSets,
    draws,
    fewest_images,
    quantile_of,
    scores_of,
    sizes,
)
from trainer.evaluate.metrics import Logits, accuracy_interval
from trainer.images.batches import Images

CHUNK: Final = 256
"""Images that are in memory at once."""


@dataclass(frozen=True)
class Answered:
    """Images and what a model made of them."""

    images: Images
    probabilities: Logits
    """float32 [n, classes]"""

    def draws(self) -> Floats:
        """float64 [n], those of the images' sets."""
        starts = range(0, len(self.images), CHUNK)
        return np.concatenate([draws(self.images.pixels(slice(start, start + CHUNK))) for start in starts])


def prediction_sets(heldout: Answered, test: Answered | None, coverage: float) -> PredictionSets | None:
    """None where too few images are held out for the coverage."""
    quantile = quantile_of(
        scores_of(heldout.probabilities, heldout.images.targets, heldout.draws()), coverage
    )
    if quantile is None:
        return None
    return PredictionSets(
        coverage=coverage,
        quantile=quantile,
        images=len(heldout.images),
        measured=None if test is None else _measured(test, quantile),
    )


def why_none(heldout: int, coverage: float) -> str:
    """In one line, where there are none."""
    return (
        f"there are no prediction sets: {heldout} held-out images are too few for --coverage {coverage:g}, "
        f"which takes {fewest_images(coverage)}"
    )


@dataclass(frozen=True)
class _Sets:
    """Arrays of [n]."""

    size: npt.NDArray[np.int64]
    covered: npt.NDArray[np.bool_]
    """whether the set holds the image's label"""

    @classmethod
    def of(cls, answered: Answered, quantile: float) -> "_Sets":
        draw, targets = answered.draws(), answered.images.targets
        covered = scores_of(answered.probabilities, targets, draw) <= quantile
        return cls(sizes(answered.probabilities, draw, quantile), covered)


def _measured(test: Answered, quantile: float) -> MeasuredSets:
    sets = _Sets.of(test, quantile)
    covered = int(sets.covered.sum())
    return MeasuredSets(
        images=len(sets.size),
        covered=covered,
        interval_95=accuracy_interval(covered, len(sets.size)),
        mean_size=float(sets.size.mean()),
        empty=int((sets.size == 0).sum()),
    )


@dataclass(frozen=True)
class ClassSets:
    """What became of a class's images; never of none."""

    label: str
    images: int
    covered: float
    """share of them whose set holds the label"""
    mean_size: float


def sets_by_class(test: Answered, quantile: float, labels: tuple[str, ...]) -> Iterator[ClassSets]:
    """The class whose images are covered least first."""
    sets, targets = _Sets.of(test, quantile), test.images.targets
    rows = [
        ClassSets(
            labels[target],
            int((targets == target).sum()),
            float(sets.covered[targets == target].mean()),
            float(sets.size[targets == target].mean()),
        )
        for target in np.unique(targets)
    ]
    yield from sorted(rows, key=lambda row: row.covered)
