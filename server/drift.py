"""Whether a model says other things of today's images than it said of the held-out ones."""

import math
from collections.abc import Sequence
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.bundle import Metrics

Counts = npt.NDArray[np.int64]
"""Predictions of each class, int64 [classes]."""

WINDOW_IMAGES: Final = 1_000
WINDOW_IMAGES_PER_CLASS: Final = 50
_Z99: Final = 2.326
"""The normal distribution's 99th percentile."""


class Drift:
    """Compares one model's latest predictions with those on its held-out images.

    `count` belongs to the event loop; `psi` and `chance` may be called by any thread, and do the work.
    """

    def __init__(self, reference: Counts) -> None:
        self._reference = reference
        self._seen = [0] * len(reference)
        self._window = max(WINDOW_IMAGES, WINDOW_IMAGES_PER_CLASS * len(reference))
        self._older = self._newer = np.zeros(len(reference), np.int64)
        self._lock = Lock()

    def count(self, predicted: int) -> None:
        """`predicted`: the index of the best class."""
        self._seen[predicted] += 1

    def psi(self) -> float:
        """Of the latest predictions; NaN until there are enough of them."""
        latest = self._latest()
        return psi(latest, self._reference) if self._is_enough(latest) else math.nan

    def chance(self) -> float:
        """What the same predictions, drawn at random, rarely exceed; NaN as long as `psi` is."""
        latest = self._latest()
        if not self._is_enough(latest):
            return math.nan
        return psi_by_chance(int(latest.sum()), int(self._reference.sum()), len(latest))

    def _is_enough(self, latest: Counts) -> bool:
        return bool(latest.sum() >= self._window and self._reference.sum() > 0)

    def _latest(self) -> Counts:
        """One to two windows of predictions, or more where nobody asked for longer than that."""
        with self._lock:
            seen = np.array(self._seen, np.int64)
            if seen.sum() - self._newer.sum() >= self._window:
                self._older, self._newer = self._newer, seen
            return seen - self._older


def psi(seen: Counts, reference: Counts) -> float:
    """The population stability index: the sum over classes of (p - q) ln(p / q).

    p and q are the shares of a class in `seen` and `reference`, with half an image added to each class of
    both, so that an empty one gives no infinity. The usual reading: under 0.1 no change to speak of, over
    0.25 a large one. (B. Yurdakul and J. Naranjo, Statistical properties of the population stability index,
    Journal of Risk Model Validation 14, 2020; it is Jeffreys' divergence.)
    """
    p, q = _shares(seen), _shares(reference)
    return float(((p - q) * np.log(p / q)).sum())


def psi_by_chance(seen_images: int, reference_images: int, classes: int) -> float:
    """The 99th percentile of the PSI of two samples of one distribution, which the usual reading ignores.

    Without drift it is distributed as chi-squared with `classes` - 1 degrees of freedom, times (1/n + 1/m)
    for samples of n and m (Yurdakul, as above). The percentile by Wilson and Hilferty's approximation.
    """
    freedom = classes - 1
    spread = 2 / (9 * freedom)
    chi_squared = freedom * (1 - spread + _Z99 * math.sqrt(spread)) ** 3
    return chi_squared * (1 / seen_images + 1 / reference_images)


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


def _shares(counts: Counts) -> npt.NDArray[np.float64]:
    smoothed = counts.astype(np.float64) + 0.5
    return np.asarray(smoothed / smoothed.sum())
