"""Whether a model says other things of today's images than it said of the held-out ones."""

import math
from threading import Lock
from typing import Final

import numpy as np

from fovea.model.bundle import BundleContract, Precision
from fovea.model.distance import Counts, abstentions, predicted_on_held_out, psi, psi_by_chance, tenths

KINDS: Final = ("classes", "confidence", "abstentions", "distances")
"""What of the predictions is compared; distances only as far as they are measured."""
TENTHS: Final = 10
"""Of the confidence, from 0 to 1."""
WINDOW_IMAGES: Final = 1_000
WINDOW_IMAGES_PER_CLASS: Final = 50


class DriftGauge:
    """Compares one model's latest predictions with those on its held-out images.

    Who predicts adds to `counts`, in one thread; `psi` and `chance` may be called by any, and do the work.
    """

    def __init__(self, reference: Counts) -> None:
        self._reference = reference
        self.counts = [0] * len(reference)
        """Predictions so far, by the index of the class, or of what else they are told apart by."""
        self._window = max(WINDOW_IMAGES, WINDOW_IMAGES_PER_CLASS * len(reference))
        self._older = self._newer = np.zeros(len(reference), np.int64)
        self._lock = Lock()

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
        return bool(len(latest) > 1 and latest.sum() >= self._window and self._reference.sum() > 0)

    def _latest(self) -> Counts:
        """One to two windows of predictions, or more where nobody asked for longer than that."""
        with self._lock:
            counts = np.array(self.counts, np.int64)
            if counts.sum() - self._newer.sum() >= self._window:
                self._older, self._newer = self._newer, counts
            return counts - self._older


def drift_gauges(contract: BundleContract, precision: Precision) -> dict[str, DriftGauge]:
    """By KINDS. Older bundles tell of the classes alone: then the others' stay NaN."""
    measured = contract.metrics_of(precision)
    unknown = np.zeros(TENTHS, np.int64)
    is_complete = measured.confidences is not None and measured.abstained is not None
    novelty = contract.out_of_distribution
    references = (
        predicted_on_held_out(contract.labels, measured),
        tenths(measured.confidences) if measured.confidences else unknown,
        abstentions(measured.abstained or 0, measured.images if is_complete else 0),
        novelty.counts(measured.images) if novelty else unknown,
    )
    return {kind: DriftGauge(reference) for kind, reference in zip(KINDS, references, strict=True)}
