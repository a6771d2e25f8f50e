"""What Prometheus sees, on a registry of its own."""

import math
from collections.abc import Mapping

import prometheus_client as prometheus
from prometheus_client.registry import Collector

from fovea.model.bundle import ModelBundle, Precision
from server.telemetry.call_metrics import SECONDS, OwnCallMetrics
from server.telemetry.drift import KINDS, DriftGauge

_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_CONFIDENCES = tuple(tenth / 10 for tenth in range(1, 11))


class Metrics:
    """The server's counters and histograms; may be updated from any thread.

    Every series that can be foreseen is there from the start, at 0: `rate` misses the first count of others.
    """

    def __init__(self, calls_elsewhere: Collector | None = None) -> None:
        """`calls_elsewhere` shows the families of `call_metrics`, where other processes answer the calls."""
        self.registry = prometheus.CollectorRegistry()
        self.calls = OwnCallMetrics(self.registry if calls_elsewhere is None else None)
        """Of the calls that this process answers."""
        if calls_elsewhere is not None:
            self.registry.register(calls_elsewhere)
        self.predictions = self._counter(
            "predictions", "Images classified, by best label: a series for each label of the model.", "label"
        )
        self.abstained = self._counter("abstained", "Images whose best probability was below the threshold.")
        self.decode_seconds = self._histogram(
            "decode_seconds", "Decoding, resizing and cropping one image.", SECONDS
        )
        self.queue_seconds = self._histogram(
            "queue_seconds", "How long an image waits for its batch to start.", SECONDS
        )
        self.compute_seconds = self._histogram("compute_seconds", "One batch in the model.", SECONDS)
        self.batch_images = self._histogram("batch_images", "Images computed together.", _IMAGES)
        self.confidence = self._histogram("confidence_ratio", "Probability of the best label.", _CONFIDENCES)
        self.queued_images = self._gauge("queued_images", "Images that wait for the model.")
        self.inflight_images = self._gauge("inflight_images", "Images admitted and not yet answered.")
        self.inflight_bytes = self._gauge("inflight_bytes", "Bytes of the images in flight.")
        self._model: prometheus.Info | None = None
        prometheus.ProcessCollector(registry=self.registry)
        self._show_no_model_yet()

    def _show_no_model_yet(self) -> None:
        self._drift_psi = self._gauge(
            "drift_psi",
            "Population stability index of the latest predictions against those on the held-out images: "
            "under 0.1 alike, over 0.25 very different; of their classes, of the tenths that the best "
            "probability is in, and of how many abstain. NaN until there were 1,000, and 50 for each class.",
            "of",
        )
        self._drift_psi_chance = self._gauge(
            "drift_psi_chance",
            "What fovea_drift_psi exceeds once in a hundred where nothing has changed, for samples as small.",
            "of",
        )
        self.reloads = self._counter(
            "reloads",
            "Versions that went live, were refused, or are served though gone, and looks that failed.",
            "outcome",
        )
        for outcome in ("swapped", "refused", "gone", "failed"):
            self.reloads.labels(outcome)
        self._model_loaded = self._gauge(
            "model_loaded_timestamp_seconds",
            "When the model that is served went live, in Unix time; NaN while there is none.",
        )
        self._model_loaded.set(math.nan)
        for gauge in (self._drift_psi, self._drift_psi_chance):
            for kind in KINDS:
                gauge.labels(kind).set(math.nan)

    def show_model(
        self, bundle: ModelBundle, provider: str, precision: Precision, drifts: Mapping[str, DriftGauge]
    ) -> None:
        contract = bundle.contract
        if self._model is None:  # without labels it would seem to tell of a model
            self._model = prometheus.Info("fovea_model", "The model that is served.", registry=self.registry)
        self._model.info(
            {
                "name": contract.name,
                "version": str(contract.version),
                "digest": bundle.digest_of(precision),
                "provider": provider,
                "precision": precision,
                "verdict": contract.verdict.word if contract.verdict else "none",
            }
        )
        for kind, drift in drifts.items():
            self._drift_psi.labels(kind).set_function(drift.psi)
            self._drift_psi_chance.labels(kind).set_function(drift.chance)
        self._model_loaded.set_to_current_time()

    def _counter(self, name: str, text: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(f"fovea_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> prometheus.Gauge:
        return prometheus.Gauge(f"fovea_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> prometheus.Histogram:
        return prometheus.Histogram(f"fovea_{name}", text, labels, buckets=buckets, registry=self.registry)
