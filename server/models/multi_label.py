"""What is counted and captured of a multi-label model: any number of labels an image."""

import numpy as np
import numpy.typing as npt

from fovea.capture.reasons import margin_of_labels
from fovea.model.bundle import BundleContract
from fovea.model.task import selected_labels
from server.telemetry.drift import DriftGauge, LabelDriftGauge
from server.telemetry.model_metrics import ModelMetrics

Row = npt.NDArray[np.float32]
"""Probabilities of an image's labels, [labels]."""


class MultiLabel:
    """What its answers say."""

    def __init__(self, contract: BundleContract) -> None:
        self._labels = contract.labels
        self._thresholds = np.array(contract.thresholds, np.float32)

    def selected(self, probabilities: Row) -> list[int]:
        """Indices of the labels that the image has, the most probable first."""
        return selected_labels(probabilities[np.newaxis], self._thresholds)[0]

    def names(self, probabilities: Row) -> tuple[str, ...]:
        """The same by name."""
        return tuple(self._labels[index] for index in self.selected(probabilities))

    def margin(self, probabilities: Row) -> float:
        """How near to its threshold a label is that is nearest to it."""
        return margin_of_labels(probabilities, self._thresholds)


class SelectedCounts:
    """Of one version: how often each label was selected. Belongs to the event loop that serves."""

    def __init__(
        self, metrics: ModelMetrics, contract: BundleContract, multi: MultiLabel, drift: LabelDriftGauge
    ) -> None:
        self._multi, self._drift = multi, drift
        self._by_label = [metrics.predictions.labels(label) for label in contract.labels]

    def count(self, probabilities: Row) -> list[int]:
        """An image's answer; returns the labels' indices."""
        self._drift.images += 1
        chosen = self._multi.selected(probabilities)
        for index in chosen:
            self._by_label[index].inc()
            self._drift.counts[index] += 1
        return chosen


def multi_label_of(contract: BundleContract) -> MultiLabel | None:
    """None of a model whose labels exclude each other."""
    return MultiLabel(contract) if contract.thresholds is not None else None


def selected_counts_of(
    metrics: ModelMetrics, contract: BundleContract, drift: DriftGauge
) -> SelectedCounts | None:
    """`drift` is that of its classes."""
    multi = multi_label_of(contract)
    if multi is None or not isinstance(drift, LabelDriftGauge):
        return None
    return SelectedCounts(metrics, contract, multi, drift)
