"""How far images are from those of the training: of those whose callers want to know, and of a sample."""

import random

from fovea.model.bundle import BundleContract
from server.telemetry.drift import DriftGauge
from server.telemetry.model_metrics import ModelMetrics


class MeasuredDistances:
    """Of one version; what is measured is counted. Belongs to the event loop that serves."""

    def __init__(
        self, contract: BundleContract, metrics: ModelMetrics, drift: DriftGauge, sample: float
    ) -> None:
        """Of a model that was released without distances none are ever wanted, whatever the `sample`."""
        self._novelty = contract.out_of_distribution
        self._metrics = metrics
        self._counts = drift.counts
        self.is_sampled = sample > 0 and self._novelty is not None
        self._sample = sample

    def draw(self) -> bool:
        """Whether an image is one of the sample."""
        return random.random() < self._sample

    def count(self, distance: float) -> None:
        if self._novelty is None:
            return
        self._metrics.distance.observe(distance)
        self._counts[self._novelty.place(distance)] += 1
        if self._novelty.is_unknown(distance):
            self._metrics.unknown.inc()
