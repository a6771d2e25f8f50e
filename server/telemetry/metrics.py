"""What Prometheus sees, on a registry of its own."""

from typing import Final

import prometheus_client as prometheus
from prometheus_client.registry import Collector

from fovea.capture.reasons import REASONS
from server.telemetry.call_metrics import OwnCallMetrics
from server.telemetry.model_metrics import ModelFamilies, ModelMetrics

LOST: Final = ("store", "too_large", "fault")
"""Why a capture is."""


class Metrics:
    """The server's counters and histograms; may be updated from any thread.

    Every series that can be foreseen is there from the start, at 0: `rate` misses the first count of others.
    """

    def __init__(self, calls_elsewhere: Collector | None = None, *, several: bool = False) -> None:
        """`calls_elsewhere` shows the families of `call_metrics`, where other processes answer the calls.

        `several` says that there may be more models than one.
        """
        self.registry = prometheus.CollectorRegistry()
        self.calls = OwnCallMetrics(self.registry if calls_elsewhere is None else None)
        """Of the calls that this process answers."""
        if calls_elsewhere is not None:
            self.registry.register(calls_elsewhere)
        self._several = several
        self._families = ModelFamilies(self.registry, several=several)
        self.inflight_images = self._gauge("inflight_images", "Images admitted and not yet answered.")
        self.inflight_bytes = self._gauge("inflight_bytes", "Bytes of the images in flight.")
        self.captured = self._counter(
            "captured", "Answers that were written to the captures, by reason.", "reason"
        )
        self.captures_lost = self._counter(
            "captures_lost",
            "Answers that were not captured: the store failed, one is too_large for a window, or by a fault.",
            "why",
        )
        for reason in REASONS:
            self.captured.labels(reason)
        for why in LOST:
            self.captures_lost.labels(why)
        prometheus.ProcessCollector(registry=self.registry)

    def of_model(self, name: str) -> ModelMetrics:
        """To be had once for each."""
        return ModelMetrics(self._families, name if self._several else None)

    def forget_model(self, name: str) -> None:
        """One of several is not served any more."""
        self._families.remove(name)

    def _counter(self, name: str, text: str, label: str) -> prometheus.Counter:
        return prometheus.Counter(f"fovea_{name}", text, (label,), registry=self.registry)

    def _gauge(self, name: str, text: str) -> prometheus.Gauge:
        return prometheus.Gauge(f"fovea_{name}", text, registry=self.registry)
