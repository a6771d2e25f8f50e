"""What one version computed and predicted since it went live: for the metrics, and for ModelStatistics."""

import time
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from fovea.model.bundle import BundleContract, Precision
from fovea.model.distance import abstentions, predicted_on_held_out, tenths
from fovea.model.measured import Metrics as Measured
from server.telemetry.drift import DriftGauge
from server.telemetry.metrics import KINDS, Metrics

TENTHS: Final = 10


@dataclass
class Tally:
    """How often something happened, and what it took in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


@dataclass
class CallTallies:
    """Calls to the model under one of its names; all but `fail` are of those that were answered."""

    success: Tally = field(default_factory=Tally)
    fail: Tally = field(default_factory=Tally)
    queue: Tally = field(default_factory=Tally)
    """The longest wait of the call's images."""
    decode: Tally = field(default_factory=Tally)
    """Of all the call's images."""
    compute: Tally = field(default_factory=Tally)
    """The longest of the batches that the call's images were in."""
    answer: Tally = field(default_factory=Tally)
    """Laying out the answer."""
    last_ms: int = 0
    """When the last one came, in milliseconds of Unix time."""

    def begin(self) -> None:
        self.last_ms = int(time.time() * 1000)


class ModelStatistics:
    """Belongs to the event loop that serves."""

    def __init__(self, metrics: Metrics, contract: BundleContract, precision: Precision) -> None:
        self.images = 0
        """Computed, whoever asked for them."""
        self.batches: dict[int, Tally] = {}
        """By how many images they had."""
        self.drifts = _drifts(contract, precision)
        """By KINDS."""
        self._calls: dict[str, CallTallies] = {}
        self._metrics = metrics
        # Looking a label up costs more than counting it; and a series has to be there before it is counted.
        self._by_class = [metrics.predictions.labels(label) for label in contract.labels]
        self._classes, self._confidences, self._abstentions = (self.drifts[kind].counts for kind in KINDS)

    def calls_to(self, name: str) -> CallTallies:
        """`name` is one of the model's."""
        return self._calls.setdefault(name, CallTallies())

    def count_batch(self, images: int, compute_s: float) -> None:
        self.images += images
        self.batches.setdefault(images, Tally()).add(compute_s)
        self._metrics.batch_images.observe(images)
        self._metrics.compute_seconds.observe(compute_s)

    def count_prediction(self, best: int, confidence: float, abstained: bool) -> None:
        """`best`: the index of the best class; `confidence`: its probability."""
        self._by_class[best].inc()
        self._classes[best] += 1
        self._confidences[_tenth(confidence)] += 1
        self._abstentions[0 if abstained else 1] += 1
        self._metrics.confidence.observe(confidence)
        if abstained:
            self._metrics.abstained.inc()


def _tenth(confidence: float) -> int:
    return min(int(confidence * TENTHS), TENTHS - 1) if confidence >= 0 else 0  # also where it is no number


def _drifts(contract: BundleContract, precision: Precision) -> dict[str, DriftGauge]:
    """Older bundles tell of the classes alone: then the others' stay NaN."""
    measured: Measured = contract.metrics_of(precision)
    unknown = np.zeros(TENTHS, np.int64)
    is_complete = measured.confidences is not None and measured.abstained is not None
    references = (
        predicted_on_held_out(contract.labels, measured),
        tenths(measured.confidences) if measured.confidences else unknown,
        abstentions(measured.abstained or 0, measured.images if is_complete else 0),
    )
    return {kind: DriftGauge(reference) for kind, reference in zip(KINDS, references, strict=True)}
