"""A released model on labelled images, as it would answer if they were sent to the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fovea.errors import DataInvalid
from fovea.model.bundle import Precision
from fovea.model.classifier import Classifier
from fovea.model.measured import Metrics
from trainer.evaluate.beside_release import BesideRelease, beside_release
from trainer.evaluate.classification import classify_samples
from trainer.evaluate.metrics import (
    Bin,
    Logits,
    Pair,
    Targets,
    accuracy_interval,
    confusion,
    measure,
    most_confused,
    reliability,
)
from trainer.images.audit import BadFile, check_bad
from trainer.images.labels import fold_label
from trainer.images.sources import Sample

MOST_WORST: Final = 100
"""Wrong answers that the record names."""


@dataclass(frozen=True)
class EvaluatedModel:
    """Which model it was, and what computed it."""

    name: str
    version: int
    precision: Precision
    provider: str
    digest: str
    """sha256 of its ONNX file"""

    @classmethod
    def of(cls, classifier: Classifier) -> "EvaluatedModel":
        contract, precision = classifier.bundle.contract, classifier.precision
        digest = classifier.bundle.digest_of(precision)
        return cls(contract.name, contract.version, precision, classifier.provider, digest)


@dataclass(frozen=True)
class Misclassification:
    """An image that the model takes for another class."""

    path: str
    truth: str
    predicted: str
    probability: float
    """of what was predicted"""
    probability_of_truth: float


@dataclass(frozen=True)
class KeptImages:
    """What is left where the model abstains below its threshold."""

    threshold: float
    images: int
    right: int


@dataclass(frozen=True)
class Evaluation:
    """How a released model does on some images."""

    model: EvaluatedModel
    metrics: Metrics
    right: int
    interval: tuple[float, float]
    """95 % confidence interval of the accuracy"""
    labels: tuple[str, ...]
    confusion: Targets
    """int64 [classes, classes]: rows are the truth, columns the predictions"""
    most_confused: list[Pair]
    reliability: list[Bin]
    kept: KeptImages
    worst: list[Misclassification]
    """wrong answers, the one that gave the truth least first; 100 at most"""
    bad: tuple[BadFile, ...]
    """files that cannot be decoded, and count nowhere else"""
    beside_release: BesideRelease


def evaluate_samples(
    classifier: Classifier, data: str, samples: Sequence[Sample], threads: int, max_bad_fraction: float
) -> Evaluation:
    """Decodes and classifies every sample of `data`. Labels are those of the classifier's bundle.

    Raises DataInvalid for an image of a class that the model does not know, and when more than
    `max_bad_fraction` of the files cannot be decoded, or all.
    """
    contract, labels = classifier.bundle.contract, classifier.labels
    check_labels(samples, labels)
    usable, bad, probabilities = classify_samples(classifier, samples, threads)
    check_bad(data, bad, len(samples), max_bad_fraction)
    index = {label: number for number, label in enumerate(labels)}
    targets = np.array([index[sample.label] for sample in usable], np.int64)
    predicted = probabilities.argmax(1)
    right = int((predicted == targets).sum())
    counts = confusion(predicted, targets, len(labels))
    answered = probabilities.max(1) >= contract.abstain_threshold
    metrics = measure(probabilities, targets, labels, contract.abstain_threshold)
    return Evaluation(
        model=EvaluatedModel.of(classifier),
        metrics=metrics,
        right=right,
        interval=accuracy_interval(right, len(usable)),
        labels=labels,
        confusion=counts,
        most_confused=most_confused(counts, labels),
        reliability=reliability(probabilities, targets),
        kept=KeptImages(
            contract.abstain_threshold, int(answered.sum()), int((predicted == targets)[answered].sum())
        ),
        worst=_worst(usable, probabilities, targets, labels),
        bad=tuple(bad),
        beside_release=beside_release(metrics, contract.metrics_of(classifier.precision)),
    )


def check_labels(samples: Sequence[Sample], labels: tuple[str, ...]) -> None:
    """Raises DataInvalid for an image of a class, or with a label, that the model does not know."""
    unknown = sorted({label for sample in samples for label in sample.named} - set(labels))
    if unknown:
        known = ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
        others = f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""
        alike = [label for label in labels if fold_label(label) == fold_label(unknown[0])]
        meant = f"; {alike[0]!r} may be meant" if alike else ""
        raise DataInvalid(
            f"the model has no class {unknown[0]!r}{others}, of which there are images "
            f"(it has {known}){meant}"
        )


def _worst(
    samples: list[Sample], probabilities: Logits, targets: Targets, labels: tuple[str, ...]
) -> list[Misclassification]:
    predicted, of_truth = probabilities.argmax(1), probabilities[np.arange(len(targets)), targets]
    wrong = np.flatnonzero(predicted != targets)
    order = wrong[np.argsort(of_truth[wrong], kind="stable")][:MOST_WORST]
    return [
        Misclassification(
            path=str(samples[place]),
            truth=samples[place].label,
            predicted=labels[predicted[place]],
            probability=float(probabilities[place].max()),
            probability_of_truth=float(of_truth[place]),
        )
        for place in order
    ]
