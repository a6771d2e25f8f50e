"""A released multi-label model on labelled images, as it would answer if they were sent to the server."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from pydantic import BaseModel

from fovea.errors import DataInvalid
from fovea.model.bundle import BundleContract
from fovea.model.classifier import Classifier
from fovea.model.measured import LabelMetrics, Metrics
from fovea.model.task import selected
from fovea.settings import SavedSettings, as_saved
from trainer.config import EvaluateSettings
from trainer.evaluate.beside_release import beside_release
from trainer.evaluate.classification import classify_samples
from trainer.evaluate.descriptions import describe_labels, table, threshold_in_words
from trainer.evaluate.evaluation import EvaluatedModel, check_labels
from trainer.evaluate.label_metrics import measure_labels
from trainer.evaluate.metrics import accuracy_interval
from trainer.images.audit import BadFile, NotTakenRecord, check_bad
from trainer.images.label_split import marks_of
from trainer.images.sources import Heldout

MOST_WORST: Final = 100
"""Wrong decisions that the record names."""
MOST_ROWS: Final = 20


class WrongDecision(NamedTuple):
    """A label that an image has and is not given, or the other way round."""

    path: str
    label: str
    has_it: bool
    probability: float


class LabelEvaluationRecord(BaseModel, frozen=True):
    """evaluation.json of a multi-label model."""

    settings: SavedSettings
    model: EvaluatedModel
    metrics: Metrics
    label_metrics: LabelMetrics
    right: int
    """images of which exactly their labels are selected"""
    accuracy_interval_95: tuple[float, float]
    beside_release: list[str]
    """what a person is told"""
    labels: tuple[str, ...]
    worst: list[WrongDecision]
    """the one that is furthest from its truth first; 100 at most"""
    quarantined: tuple[BadFile, ...]
    not_taken: dict[str, NotTakenRecord]


def evaluate_labels(
    classifier: Classifier, held: Heldout, settings: EvaluateSettings
) -> LabelEvaluationRecord:
    """Decodes and classifies every image. Raises DataInvalid for an image with a label that the model does
    not know, and when more than --max-bad-fraction of the files cannot be decoded, or all."""
    contract = classifier.bundle.contract
    thresholds = contract.thresholds or ()
    check_labels(held.samples, contract.labels)
    usable, bad, probabilities = classify_samples(classifier, held.samples, settings.threads)
    check_bad(settings.source, bad, len(held.samples), settings.max_bad_fraction)
    targets = marks_of(usable, contract.labels)
    metrics, scores = measure_labels(probabilities, targets, contract.labels, thresholds)
    distance = np.where(selected(probabilities, thresholds) != targets, np.abs(probabilities - targets), -1)
    order = np.argsort(-distance, axis=None, kind="stable")[:MOST_WORST]
    wrong = [divmod(int(place), len(contract.labels)) for place in order if distance.flat[place] >= 0]
    return LabelEvaluationRecord(
        settings=as_saved(settings),
        model=EvaluatedModel.of(classifier),
        metrics=metrics,
        label_metrics=scores,
        right=metrics.right,
        accuracy_interval_95=accuracy_interval(metrics.right, metrics.images),
        beside_release=beside_release(metrics, contract.metrics_of(classifier.precision)).words(
            of_labels=True
        ),
        labels=contract.labels,
        worst=[
            WrongDecision(
                str(usable[row]), contract.labels[c], bool(targets[row, c]), float(probabilities[row, c])
            )
            for row, c in wrong
        ],
        quarantined=tuple(bad),
        not_taken={kind: NotTakenRecord(**files) for kind, files in held.passed_over.record().items()},
    )


def describe_label_evaluation(record: LabelEvaluationRecord, contract: BundleContract) -> Iterator[str]:
    """The lines that a person reads."""
    model, (low, high) = record.model, record.accuracy_interval_95
    yield f"{model.name} version {model.version}, {model.precision}: {describe_labels(record.label_metrics)}"
    released = contract.label_metrics
    if model.precision != "fp32":
        released = contract.variants[model.precision].label_metrics
    if released is not None:
        yield f"at its release {describe_labels(released)}"
    yield (
        f"exactly the labels of {record.metrics.accuracy:.2%} of {record.metrics.images} images "
        f"(95 % confidence interval {low:.2%} to {high:.2%})"
    )
    yield from record.beside_release
    yield ""
    yield from table([("label", "images", "AP", "threshold", "precision", "recall"), *_rows(record)])
    if record.worst:
        yield ""
        worst = [
            (w.path, w.label, "has it" if w.has_it else "has it not", f"{w.probability:.3f}")
            for w in record.worst[: MOST_ROWS // 2]
        ]
        yield from table([("worst images", "label", "truth", "probability"), *worst])


def _rows(record: LabelEvaluationRecord) -> Sequence[tuple[str, ...]]:
    """Those that do worst first; labels without images are left out."""
    present = [entry for entry in record.label_metrics.per_label.items() if entry[1].images]
    ranked = sorted(present, key=lambda entry: entry[1].average_precision or 0.0)
    rows: list[tuple[str, ...]] = [
        (
            label,
            str(row.images),
            f"{row.average_precision:.1%}",
            threshold_in_words(row.threshold),
            f"{row.precision:.1%}",
            f"{row.recall:.1%}",
        )
        for label, row in ranked[:MOST_ROWS]
    ]
    return [*rows, *([(f"and {len(ranked) - MOST_ROWS} more, no worse",)] if len(ranked) > MOST_ROWS else [])]


def check_map(record: LabelEvaluationRecord, least: float | None) -> None:
    """Raises DataInvalid where mean average precision is below --min-accuracy."""
    if least is not None and record.label_metrics.map < least:
        raise DataInvalid(
            f"the mean average precision of {record.label_metrics.map:.2%} is below --min-accuracy {least:g}"
        )
