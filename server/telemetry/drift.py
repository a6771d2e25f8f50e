"""Whether a model says other things of today's images than it said of the held-out ones, and how many of its
answers are expected to be right."""

import math
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.model.bundle import BundleContract, Precision
from fovea.model.distance import (
    Counts,
    Selections,
    abstentions,
    drifting_classes,
    drifting_selections,
    label_psi,
    label_psi_by_chance,
    predicted_on_held_out,
    psi,
    psi_by_chance,
    selected_on_held_out,
    tenths,
)
from fovea.model.measured import CONFIDENCE_BINS, Metrics
from fovea.truth.expected import Answers, expected_accuracy

KINDS: Final = ("classes", "confidence", "abstentions", "distances")
"""What of the predictions is compared; distances only as far as they are measured, and of a multi-label model
its labels alone, as classes."""
TENTHS: Final = 10
"""Of the confidence, from 0 to 1."""
WINDOW_IMAGES: Final = 1_000
WINDOW_IMAGES_PER_CLASS: Final = 50


Figures = npt.NDArray[np.float64]
"""[rows, kinds], which only grow: images first, then what is added up of them."""


class Window:
    """The latest of figures, from any thread."""

    def __init__(self, images: int) -> None:
        self.images = images
        self._older: Figures | None = None
        self._newer: Figures | None = None
        self._lock = Lock()

    def latest(self, figures: Figures) -> Figures:
        """Of one to two windows of images, or more where nobody asked for longer than that."""
        with self._lock:
            if self._older is None or self._newer is None:
                self._older = self._newer = np.zeros_like(figures)
            if figures[0].sum() - self._newer[0].sum() >= self.images:
                self._older, self._newer = self._newer, figures
            return np.asarray(figures - self._older)


class DriftGauge:
    """Compares one model's latest predictions with those on its held-out images.

    Who predicts adds to `counts`, in one thread; `psi` and `chance` may be called by any, and do the work.
    """

    def __init__(self, reference: Counts) -> None:
        self._reference = reference
        self.counts = [0] * len(reference)
        """Predictions so far, by the index of the class, or of what else they are told apart by."""
        self._window = Window(max(WINDOW_IMAGES, WINDOW_IMAGES_PER_CLASS * len(reference)))

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

    def drifting(self) -> list[int]:
        """The classes that are predicted more or less often now; none until there are enough predictions."""
        latest = self._latest()
        return drifting_classes(latest, self._reference) if self._is_enough(latest) else []

    def _is_enough(self, latest: Counts) -> bool:
        return bool(len(latest) > 1 and latest.sum() >= self._window.images and self._reference.sum() > 0)

    def _latest(self) -> Counts:
        latest = self._window.latest(np.array([self.counts], np.float64))
        return np.asarray(latest[0], np.int64)


class LabelDriftGauge(DriftGauge):
    """The same of a multi-label model: how often each label is selected, of which the furthest off counts.

    Who answers adds to `counts`, by the index of the label, and to `images`.
    """

    def __init__(self, reference: Selections) -> None:
        super().__init__(reference.counts)
        self._selections = reference
        self.images = 0

    def psi(self) -> float:
        latest = self._latest_selections()
        return label_psi(latest, self._selections)[0] if self._has_enough(latest) else math.nan

    def chance(self) -> float:
        latest = self._latest_selections()
        return label_psi_by_chance(latest, self._selections) if self._has_enough(latest) else math.nan

    def drifting(self) -> list[int]:
        latest = self._latest_selections()
        return drifting_selections(latest, self._selections) if self._has_enough(latest) else []

    def _has_enough(self, latest: Selections) -> bool:
        return latest.images >= self._window.images and self._selections.images > 0

    def _latest_selections(self) -> Selections:
        images = [self.images] + [0] * (len(self.counts) - 1)  # of them the window takes the first row's sum
        answers, counts = self._window.latest(np.array([images, self.counts], np.float64)).astype(np.int64)
        return Selections(counts, int(answers.sum()))


class AccuracyGauge:
    """How many of one model's latest answers are expected to be right.

    Who predicts adds to `images` and `confidence`, in one thread; `expected`, `low` and `high` may be called
    by any, and are NaN until there are enough answers, and for an older bundle, which does not tell how often
    it was right.
    """

    def __init__(self, released: Metrics) -> None:
        self._measured, self._right = released.confidences, released.right_by_confidence
        self.images = [0] * CONFIDENCE_BINS
        """Answers so far, by the bin that the probability of the best class is in."""
        self.confidence = [0.0] * CONFIDENCE_BINS
        """The sum of these probabilities."""
        self._window = Window(WINDOW_IMAGES)

    def expected(self) -> float:
        return self._of_latest()[0]

    def low(self) -> float:
        """The end of the 95 % interval, as `high` is."""
        return self._of_latest()[1]

    def high(self) -> float:
        return self._of_latest()[2]

    def _of_latest(self) -> tuple[float, float, float]:
        images, confidence = self._window.latest(np.array([self.images, self.confidence]))
        if images.sum() < WINDOW_IMAGES or self._measured is None or self._right is None:
            return math.nan, math.nan, math.nan
        answers = Answers(images.astype(int).tolist(), confidence.tolist())
        expected = expected_accuracy(answers, self._measured, self._right)
        return (expected.accuracy, *expected.interval_95) if expected else (math.nan,) * 3


def drift_gauges(contract: BundleContract, precision: Precision) -> dict[str, DriftGauge]:
    """By KINDS. Older bundles tell of the classes alone: then the others' stay NaN."""
    measured = contract.metrics_of(precision)
    unknown = np.zeros(TENTHS, np.int64)
    is_complete = measured.confidences is not None and measured.abstained is not None
    novelty = contract.out_of_distribution
    references = (
        tenths(measured.confidences) if measured.confidences else unknown,
        abstentions(measured.abstained or 0, measured.images if is_complete else 0),
        novelty.counts() if novelty else unknown,
    )
    classes, *others = KINDS
    gauges = {kind: DriftGauge(reference) for kind, reference in zip(others, references, strict=True)}
    return {classes: _class_drift(contract, precision), **gauges}


def _class_drift(contract: BundleContract, precision: Precision) -> DriftGauge:
    measured = contract.metrics_of(precision)
    if contract.task == "single":
        return DriftGauge(predicted_on_held_out(contract.labels, measured))
    scores = contract.label_metrics_of(precision)
    return LabelDriftGauge(selected_on_held_out(contract.labels, scores, measured.images))
