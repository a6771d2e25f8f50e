"""What is counted of a model, and of each of several apart."""

import math
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import prometheus_client as prometheus

from fovea.model.bundle import ModelBundle, Precision
from server.telemetry.call_metrics import SECONDS
from server.telemetry.drift import KINDS, AccuracyGauge, DriftGauge
from server.telemetry.shadow_metrics import ShadowMetrics

MODEL: Final = "model"
"""The label that tells several models apart."""
EXPECTED: Final = ("mean", "low", "high")
"""Of the accuracy: the estimate, and the ends of its interval."""
OUTCOMES: Final = ("swapped", "refused", "gone", "failed")
"""Of a reload."""
REMOVED: Final = ("errors", "latency", "disagreement", "answers")
"""Why a canary is taken out."""

_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_DISTANCES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0)
_CONFIDENCES = tuple(tenth / 10 for tenth in range(1, 11))


class ModelFamilies:
    """Names of the metrics; of several models, each has a series of its own by the label MODEL."""

    def __init__(self, registry: prometheus.CollectorRegistry, *, several: bool) -> None:
        self.registry = registry
        self._labels = (MODEL,) if several else ()
        self._info: prometheus.Info | None = None
        self.shadow = ShadowMetrics(registry)
        """Of one model alone."""
        self._add_answers()
        self._add_work()
        self._add_drift()
        self._add_versions()
        self._add_rollout()

    def info(self) -> prometheus.Info:
        if self._info is None:  # without labels it would seem to tell of a model
            text = "The model that is served."
            self._info = prometheus.Info("fovea_model", text, self._labels, registry=self.registry)
        return self._info

    def remove(self, name: str) -> None:
        """The series of one of several."""
        for family in vars(self).values():
            if isinstance(family, prometheus.metrics.MetricWrapperBase):
                family.remove_by_labels({MODEL: name})

    def _add_answers(self) -> None:
        self.predictions = self._counter(
            "predictions",
            "Images classified, by best label, or by each label that a multi-label model selects: a series "
            "for each label of the model.",
            "label",
        )
        self.abstained = self._counter(
            "abstained", "Images whose best probability was below the threshold; none of a multi-label model."
        )
        self.unknown = self._counter(
            "unknown", "Images further from the training's than the threshold, of those that were measured."
        )
        self.distance = self._histogram(
            "distance",
            "How far an image is from the nearest class, in standard deviations of its embeddings.",
            _DISTANCES,
        )
        self.confidence = self._histogram(
            "confidence_ratio", "Probability of the best label; none of a multi-label model.", _CONFIDENCES
        )

    def _add_work(self) -> None:
        self.decode_seconds = self._histogram(
            "decode_seconds", "Decoding, resizing and cropping one image.", SECONDS
        )
        self.queue_seconds = self._histogram(
            "queue_seconds", "How long an image waits for its batch to start.", SECONDS
        )
        self.compute_seconds = self._histogram("compute_seconds", "One batch in the model.", SECONDS)
        self.batch_images = self._histogram("batch_images", "Images computed together.", _IMAGES)
        self.queued_images = self._gauge("queued_images", "Images that wait for the model.")
        self.ready = self._gauge("model_ready", "1 where calls for the model are answered, else 0.")

    def _add_drift(self) -> None:
        """How answers compare with those on the held-out images."""
        self.drift_psi = self._gauge(
            "drift_psi",
            "Population stability index of the latest predictions against those on the held-out images: "
            "under 0.1 alike, over 0.25 very different; of their classes, of the tenths that the best "
            "probability is in, of how many abstain, and of how far they are from the training's. NaN until "
            "there were 1,000, and 50 for each class. Of a multi-label model, of the label whose share of "
            "the images is furthest off by its odds, as classes.",
            "of",
        )
        self.drift_psi_chance = self._gauge(
            "drift_psi_chance",
            "What fovea_drift_psi exceeds once in a hundred where nothing has changed, for samples as small.",
            "of",
        )
        self.expected_accuracy = self._gauge(
            "expected_accuracy",
            "Share of the latest answers that is expected to be right, and the ends of its 95 % interval: an "
            "estimate by their probabilities, which fails where fovea_drift_psi is large. NaN until there "
            "were 1,000.",
            "of",
        )
        self.released_accuracy = self._gauge(
            "released_accuracy",
            "Share of the images that were right at the release of the model; NaN while there is none.",
        )

    def _add_versions(self) -> None:
        self.reloads = self._counter(
            "reloads",
            "Versions that went live, were refused, or are served though gone, and looks that failed.",
            "outcome",
        )
        self.loaded_at = self._gauge(
            "model_loaded_timestamp_seconds",
            "When the model that is served went live, in Unix time; NaN while there is none.",
        )

    def _add_rollout(self) -> None:
        """Of the current version and the canary, while they share the calls."""
        self.version_answers = self._counter(
            "rollout_answers", "Images that a version has answered while a canary is out.", "version"
        )
        self.version_errors = self._counter(
            "rollout_errors", "Images that a version has failed on while a canary is out.", "version"
        )
        self.version_abstained = self._counter(
            "rollout_abstained", "Answers of a version, while a canary is out, that abstained.", "version"
        )
        self.version_seconds = self._histogram(
            "rollout_seconds",
            "Decoding, waiting and computing one image, by a version while a canary is out.",
            SECONDS,
            "version",
        )
        self.canary_percent = self._gauge(
            "canary_percent", "Percent of the calls that a canary answers; 0 while there is none."
        )
        self.canary_removed = self._counter(
            "canary_removed", "Canaries that the guard has taken out, by reason.", "reason"
        )

    def _counter(self, name: str, text: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(f"fovea_{name}", text, (*self._labels, *labels), registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> prometheus.Gauge:
        return prometheus.Gauge(f"fovea_{name}", text, (*self._labels, *labels), registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> prometheus.Histogram:
        names = (*self._labels, *labels)
        return prometheus.Histogram(f"fovea_{name}", text, names, buckets=buckets, registry=self.registry)


class VersionSeries(NamedTuple):
    """Of one of two versions that share the calls."""

    answers: prometheus.Counter
    errors: prometheus.Counter
    abstained: prometheus.Counter
    seconds: prometheus.Histogram


class ModelMetrics:
    """The series of one model; may be updated from any thread.

    Every series that can be foreseen is there from the start, at 0: `rate` misses the first count of others.
    """

    def __init__(self, families: ModelFamilies, name: str | None) -> None:
        """`name` is None where there is but this one."""
        self.registry = families.registry
        self._families = families
        self._name = name
        self.predictions = _Labelled(families.predictions, name)
        self.reloads = _Labelled(families.reloads, name)
        self.abstained: prometheus.Counter = self._own(families.abstained)
        self.unknown: prometheus.Counter = self._own(families.unknown)
        self.distance: prometheus.Histogram = self._own(families.distance)
        self.decode_seconds: prometheus.Histogram = self._own(families.decode_seconds)
        self.queue_seconds: prometheus.Histogram = self._own(families.queue_seconds)
        self.compute_seconds: prometheus.Histogram = self._own(families.compute_seconds)
        self.batch_images: prometheus.Histogram = self._own(families.batch_images)
        self.confidence: prometheus.Histogram = self._own(families.confidence)
        self.shadow = families.shadow
        self.queued_images: prometheus.Gauge = self._own(families.queued_images)
        self.ready: prometheus.Gauge = self._own(families.ready)
        self.canary_percent: prometheus.Gauge = self._own(families.canary_percent)
        self.canary_removed = _Labelled(families.canary_removed, name)
        of_versions = (
            families.version_answers,
            families.version_errors,
            families.version_abstained,
            families.version_seconds,
        )
        self._of_versions = [_Labelled(family, name) for family in of_versions]
        self._told_apart: set[int] = set()
        self._drift = {
            kind: tuple(
                _Labelled(gauge, name).labels(kind)
                for gauge in (families.drift_psi, families.drift_psi_chance)
            )
            for kind in KINDS
        }
        expected = _Labelled(families.expected_accuracy, name)
        self._expected = {kind: expected.labels(kind) for kind in EXPECTED}
        self._released: prometheus.Gauge = self._own(families.released_accuracy)
        self._loaded_at: prometheus.Gauge = self._own(families.loaded_at)
        self._show_no_model_yet()

    def show_model(
        self,
        bundle: ModelBundle,
        provider: str,
        precision: Precision,
        drifts: Mapping[str, DriftGauge],
        accuracy: AccuracyGauge,
    ) -> None:
        contract = bundle.contract
        self._own(self._families.info()).info(
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
            psi, chance = self._drift[kind]
            psi.set_function(drift.psi)
            chance.set_function(drift.chance)
        for gauge, of in zip(
            self._expected.values(), (accuracy.expected, accuracy.low, accuracy.high), strict=True
        ):
            gauge.set_function(of)
        self._released.set(contract.metrics_of(precision).accuracy)
        self._loaded_at.set_to_current_time()

    def of_version(self, version: int) -> "VersionSeries":
        """They are there from here on, until others are told apart."""
        return VersionSeries(*(family.labels(str(version)) for family in self._of_versions))

    def tell_apart(self, versions: Collection[int]) -> None:
        """These have series of their own from here on, and no others."""
        for version in self._told_apart.difference(versions):
            for family in self._of_versions:
                family.remove(str(version))
        self._told_apart = set(versions)

    def _show_no_model_yet(self) -> None:
        for outcome in OUTCOMES:
            self.reloads.labels(outcome)
        for reason in REMOVED:
            self.canary_removed.labels(reason)
        self._released.set(math.nan)
        self._loaded_at.set(math.nan)
        for gauges in (*self._drift.values(), self._expected.values()):
            for gauge in gauges:
                gauge.set(math.nan)

    def _own(self, family: Any) -> Any:
        """Of a family without labels but MODEL."""
        return family if self._name is None else family.labels(self._name)


class _Labelled:
    """A family of a model that has a label more."""

    def __init__(self, family: Any, name: str | None) -> None:
        self._family = family
        self._first = () if name is None else (name,)

    def labels(self, value: str) -> Any:
        return self._family.labels(*self._first, value)

    def remove(self, value: str) -> None:
        self._family.remove(*self._first, value)
