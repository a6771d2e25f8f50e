"""How far two distributions of predictions are apart, and those that the held-out images gave."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fovea.model.measured import LabelMetrics, Metrics

Counts = npt.NDArray[np.int64]
"""Predictions of each class, or of whatever else is counted: int64 [classes]."""
Shares = npt.NDArray[np.float64]

DRIFT_FACTOR: Final = 1.5
"""How many times as frequent or as rare a class is that drifts."""

_Z99: Final = 2.326
"""The normal distribution's 99th percentile."""


class Selections(NamedTuple):
    """How often a multi-label model selected each label, of so many images."""

    counts: Counts
    """[labels]"""
    images: int


def psi(seen: Counts, reference: Counts) -> float:
    """The population stability index: the sum over classes of (p - q) ln(p / q).

    p and q are the shares of a class in `seen` and `reference`, with half an image added to each class of
    both, so that an empty one gives no infinity. The usual reading: under 0.1 no change to speak of, over
    0.25 a large one. (B. Yurdakul and J. Naranjo, Statistical properties of the population stability index,
    Journal of Risk Model Validation 14, 2020; it is Jeffreys' divergence.)
    """
    p, q = _shares(seen), _shares(reference)
    return float(((p - q) * np.log(p / q)).sum())


def psi_by_chance(seen_images: int, reference_images: int, classes: int, z: float = _Z99) -> float:
    """The 99th percentile (or that of another `z`) of the PSI of two samples of one distribution, which the
    usual reading ignores.

    Without drift it is distributed as chi-squared with `classes` - 1 degrees of freedom, times (1/n + 1/m)
    for samples of n and m (Yurdakul, as above). The percentile by Wilson and Hilferty's approximation.
    """
    freedom = classes - 1
    spread = 2 / (9 * freedom)
    chi_squared = freedom * (1 - spread + z * math.sqrt(spread)) ** 3
    return chi_squared * (1 / seen_images + 1 / reference_images)


def label_psi(seen: Selections, reference: Selections) -> tuple[float, int]:
    """The largest PSI of a label's rate, and its index: of each, the images that have it and those that have
    it not. There must be a label."""
    each = [
        psi(np.array([has, seen.images - has]), np.array([had, reference.images - had]))
        for has, had in zip(seen.counts.tolist(), reference.counts.tolist(), strict=True)
    ]
    worst = int(np.argmax(each))
    return each[worst], worst


def label_psi_by_chance(seen: Selections, reference: Selections, level: float = 0.01) -> float:
    """What `label_psi` exceeds once in a hundred times, or at another `level`, where nothing has changed,
    whichever label it is: the level is divided by their number (Bonferroni)."""
    z = NormalDist().inv_cdf(1 - level / len(seen.counts))
    return psi_by_chance(seen.images, reference.images, 2, z)


def drifting_classes(seen: Counts, reference: Counts) -> list[int]:
    """The classes whose share is another: by a factor of DRIFT_FACTOR at least, and by more than by chance.

    By chance one class of all is among them once in a hundred: the test of two proportions, its level divided
    by the number of classes (Bonferroni). There must be an image in each of the two.
    """
    images, reference_images = int(seen.sum()), int(reference.sum())
    p, q, pooled = _shares(seen), _shares(reference), _shares(seen + reference)
    return _drifting(p, q, pooled, 1 / images + 1 / reference_images)


def drifting_selections(seen: Selections, reference: Selections) -> list[int]:
    """As `drifting_classes`, the labels that are selected more or less often, each by itself."""
    both = Selections(seen.counts + reference.counts, seen.images + reference.images)
    p, q, pooled = _rates(seen), _rates(reference), _rates(both)
    return _drifting(p, q, pooled, 1 / seen.images + 1 / reference.images)


def predicted_on_held_out(labels: Sequence[str], metrics: Metrics) -> Counts:
    """How often each class was predicted at the release gate, which the contract tells indirectly.

    What was rightly given a class is its recall times its images, and that over its precision what was given
    it at all. Where the precision is 0 the contract leaves open how often: such classes share the rest.
    """
    rows = [metrics.per_class.get(label) for label in labels]
    counts = np.array(
        [round(row.images * row.recall / row.precision) if row and row.precision else 0 for row in rows],
        np.int64,
    )
    never_right = np.flatnonzero([not (row and row.precision) for row in rows])
    rest = max(metrics.images - int(counts.sum()), 0)
    if len(never_right):
        counts[never_right] = rest // len(never_right)
        counts[never_right[: rest % len(never_right)]] += 1
    return counts


def selected_on_held_out(labels: Sequence[str], metrics: LabelMetrics | None, images: int) -> Selections:
    """How often each label was selected at the release gate, of so many images; of none where that was not
    measured."""
    scores = [metrics.per_label.get(label) if metrics else None for label in labels]
    counts = np.array([score.selected if score else 0 for score in scores], np.int64)
    return Selections(counts, images if metrics else 0)


def tenths(confidences: Sequence[int]) -> Counts:
    """How many images have a best probability in each tenth from 0 to 1, of finer bins of equal width."""
    return np.asarray(np.array(confidences, np.int64).reshape(10, -1).sum(1))


def abstentions(abstained: int, images: int) -> Counts:
    """int64 [2]: images below the abstain threshold, and the others."""
    return np.array([abstained, images - abstained], np.int64)


def _drifting(p: Shares, q: Shares, pooled: Shares, sizes: float) -> list[int]:
    """`sizes` are 1/n + 1/m of the two samples."""
    deviation = np.sqrt(pooled * (1 - pooled) * sizes)
    by_chance = NormalDist().inv_cdf(1 - 0.01 / (2 * len(p)))
    is_far = np.abs(np.log(p / q)) >= math.log(DRIFT_FACTOR)
    return np.flatnonzero(is_far & (np.abs(p - q) > by_chance * deviation)).tolist()


def _rates(selections: Selections) -> Shares:
    return np.asarray((selections.counts + 0.5) / (selections.images + 1))


def _shares(counts: Counts) -> Shares:
    smoothed = counts.astype(np.float64) + 0.5
    return np.asarray(smoothed / smoothed.sum())
