"""What Prometheus sees, on a registry of its own."""

import prometheus_client as prometheus

from fovea.bundle import ModelBundle, Precision

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_CONFIDENCES = tuple(tenth / 10 for tenth in range(1, 11))


class Metrics:
    """The server's counters and histograms; may be updated from any thread."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self.requests = self._counter("requests", "Calls, by method and gRPC status code.", "method", "code")
        self.refused = self._counter(
            "refused", "Calls, and images of calls, that were not answered, by reason.", "reason"
        )
        self.predictions = self._counter("predictions", "Images classified, by best label.", "label")
        self.abstained = self._counter("abstained", "Images whose best probability was below the threshold.")
        self.request_seconds = self._histogram(
            "request_seconds", "From a call's arrival to its answer, by method.", _SECONDS, "method"
        )
        self.decode_seconds = self._histogram(
            "decode_seconds", "Decoding, resizing and cropping one image.", _SECONDS
        )
        self.queue_seconds = self._histogram(
            "queue_seconds", "How long an image waits for its batch to start.", _SECONDS
        )
        self.compute_seconds = self._histogram("compute_seconds", "One batch in the model.", _SECONDS)
        self.batch_images = self._histogram("batch_images", "Images computed together.", _IMAGES)
        self.confidence = self._histogram("confidence_ratio", "Probability of the best label.", _CONFIDENCES)
        self.queued_images = self._gauge("queued_images", "Images decoded that wait for the model.")
        self.inflight_images = self._gauge("inflight_images", "Images admitted and not yet answered.")
        self.inflight_bytes = self._gauge("inflight_bytes", "Bytes of the images in flight.")
        self._model = prometheus.Info("fovea_model", "The model that is served.", registry=self.registry)
        prometheus.ProcessCollector(registry=self.registry)

    def show_model(self, bundle: ModelBundle, provider: str, precision: Precision) -> None:
        contract = bundle.contract
        self._model.info(
            {
                "name": contract.name,
                "version": str(contract.version),
                "digest": bundle.digest_of(precision),
                "provider": provider,
                "precision": precision,
            }
        )

    def show_batch(self, images: int, compute_s: float) -> None:
        self.batch_images.observe(images)
        self.compute_seconds.observe(compute_s)

    def show_prediction(self, label: str, confidence: float, abstained: bool) -> None:
        self.predictions.labels(label).inc()
        self.confidence.observe(confidence)
        if abstained:
            self.abstained.inc()

    def _counter(self, name: str, text: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(f"fovea_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> prometheus.Gauge:
        return prometheus.Gauge(f"fovea_{name}", text, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> prometheus.Histogram:
        return prometheus.Histogram(f"fovea_{name}", text, labels, buckets=buckets, registry=self.registry)
