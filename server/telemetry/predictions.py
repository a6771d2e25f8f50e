"""What one model says of the images that it gets, for the metrics."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from fovea.model.bundle import BundleContract, Precision
from fovea.model.distance import abstentions, predicted_on_held_out, tenths
from fovea.model.measured import Metrics as Measured
from server.telemetry.drift import DriftGauge
from server.telemetry.metrics import KINDS, Metrics

TENTHS: Final = 10


class Predictions:
    """Counts one model's predictions; lives in the event loop."""

    def __init__(self, metrics: Metrics, contract: BundleContract, precision: Precision) -> None:
        self.drifts = _drifts(contract.labels, contract.metrics_of(precision))
        # Looking a label up costs more than counting it; and a series has to be there before it is counted.
        self._by_class = [metrics.predictions.labels(label) for label in contract.labels]
        self._count_class, self._count_confidence, self._count_abstained = (
            self.drifts[kind].count for kind in KINDS
        )
        self._confidence = metrics.confidence
        self._abstained = metrics.abstained

    def show(self, best: int, confidence: float, abstained: bool) -> None:
        """`best`: the index of the best class; `confidence`: its probability."""
        self._by_class[best].inc()
        self._count_class(best)
        self._count_confidence(_tenth(confidence))
        self._count_abstained(0 if abstained else 1)
        self._confidence.observe(confidence)
        if abstained:
            self._abstained.inc()


def _tenth(confidence: float) -> int:
    return min(int(confidence * TENTHS), TENTHS - 1) if confidence >= 0 else 0  # also where it is no number


def _drifts(labels: Sequence[str], measured: Measured) -> dict[str, DriftGauge]:
    """By KINDS. Older bundles tell of the classes alone: then the others' stay NaN."""
    unknown = np.zeros(TENTHS, np.int64)
    complete = measured.confidences is not None and measured.abstained is not None
    references = (
        predicted_on_held_out(labels, measured),
        tenths(measured.confidences) if measured.confidences else unknown,
        abstentions(measured.abstained or 0, measured.images if complete else 0),
    )
    return {kind: DriftGauge(reference) for kind, reference in zip(KINDS, references, strict=True)}
