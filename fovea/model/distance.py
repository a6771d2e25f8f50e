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


def label_psi(seen: Selections, reference: Selections, level: float = 0.01) -> tuple[float, int]:
    """How far the label is off whose odds have changed most, and its index: of those that are off by more
    than chance gives, or if there is none, of all the one least likely by chance. There must be a label.

    Odds that change by a factor of exp(d) have the PSI d tanh(d / 4) where the two rates lie evenly around a
    half, and are told by that wherever they lie: 0.25 is a factor of 2.75, 0.1 one of 1.9. The PSI of the
    rates themselves hardly sees a rare label: from 1 % to 10 % it is 0.21.
    """
    off, _, worst = _furthest(seen, reference, level)
    return off, worst


def label_psi_by_chance(seen: Selections, reference: Selections, level: float = 0.01) -> float:
    """What `label_psi` of the same level exceeds once in a hundred times, or at another `level`, where
    nothing has changed, whichever label it is: the level is divided by their number (Bonferroni)."""
    return _furthest(seen, reference, level)[1]


def _furthest(seen: Selections, reference: Selections, level: float) -> tuple[float, float, int]:
    """How far, how far by chance, and which label."""
    p, q = _rates(seen), _rates(reference)
    moved = np.abs(np.log(p / (1 - p)) - np.log(q / (1 - q)))
    z = NormalDist().inv_cdf(1 - level / (2 * len(p)))
    beyond = np.sqrt(_deviance(seen, reference)) / z
    worst = int(np.argmax(np.where(beyond > 1, 1 + moved, np.minimum(beyond, 1))))
    if beyond[worst] > 0.1:
        by_chance = moved[worst] / beyond[worst]
    else:  # so near that how far it is says nothing of how far it might be
        by_chance = max(moved[worst], z * _error_of_log_odds(seen, reference)[worst])
    return _psi_around_half(moved[worst]), _psi_around_half(by_chance), worst


def _psi_around_half(moved: float) -> float:
    return float(moved * np.tanh(moved / 4))


def _error_of_log_odds(seen: Selections, reference: Selections) -> Shares:
    """Of the difference, where nothing has changed."""
    rates = _rates(Selections(seen.counts + reference.counts, seen.images + reference.images))
    return np.asarray(np.sqrt((1 / seen.images + 1 / reference.images) / (rates * (1 - rates))))


def _deviance(seen: Selections, reference: Selections) -> Shares:
    """Of each label, 2 sum O ln(O / E) over the images that have it and have it not, here and there: as
    chi-squared with one degree of freedom, also of a few images, for each O is half an image nearer to its E
    (Yates's correction)."""
    counts, images = (
        np.array([seen.counts, reference.counts], np.float64),
        np.array([seen.images, reference.images]),
    )
    expected = np.outer(images / images.sum(), counts.sum(0))
    off = counts - expected
    observed = expected + np.sign(off) * np.maximum(np.abs(off) - 0.5, 0)
    pairs = [(observed, expected), (images[:, None] - observed, images[:, None] - expected)]
    return np.asarray(np.maximum(sum(_relative(*pair) for pair in pairs), 0))


def _relative(observed: Shares, expected: Shares) -> Shares:
    ratio = np.divide(observed, expected, out=np.ones_like(observed), where=observed > 0)
    return np.asarray(2 * (observed * np.log(ratio)).sum(0))


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
