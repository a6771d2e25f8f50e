"""How far two distributions of predictions are apart, and those that the held-out images gave."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.model.measured import Metrics

Counts = npt.NDArray[np.int64]
"""Predictions of each class, or of whatever else is counted: int64 [classes]."""

DRIFT_FACTOR: Final = 1.5
"""How many times as frequent or as rare a class is that drifts."""

_Z99: Final = 2.326
"""The normal distribution's 99th percentile."""


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


def drifting_classes(seen: Counts, reference: Counts) -> list[int]:
    """The classes whose share is another: by a factor of DRIFT_FACTOR at least, and by more than by chance.

    By chance one class of all is among them once in a hundred: the test of two proportions, its level divided
    by the number of classes (Bonferroni). There must be an image in each of the two.
    """
    images, reference_images = int(seen.sum()), int(reference.sum())
    p, q, pooled = _shares(seen), _shares(reference), _shares(seen + reference)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / images + 1 / reference_images))
    by_chance = NormalDist().inv_cdf(1 - 0.01 / (2 * len(seen)))
    is_far = np.abs(np.log(p / q)) >= math.log(DRIFT_FACTOR)
    return np.flatnonzero(is_far & (np.abs(p - q) > by_chance * deviation)).tolist()


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


def tenths(confidences: Sequence[int]) -> Counts:
    """How many images have a best probability in each tenth from 0 to 1, of finer bins of equal width."""
    return np.asarray(np.array(confidences, np.int64).reshape(10, -1).sum(1))


def abstentions(abstained: int, images: int) -> Counts:
    """int64 [2]: images below the abstain threshold, and the others."""
    return np.array([abstained, images - abstained], np.int64)


def _shares(counts: Counts) -> npt.NDArray[np.float64]:
    smoothed = counts.astype(np.float64) + 0.5
    return np.asarray(smoothed / smoothed.sum())
