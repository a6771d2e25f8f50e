"""What answers are worth where the truth is known."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fovea.model.measured import CONFIDENCE_BINS, ClassMetrics, Metrics

Logits = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]

ECE_BINS = 15
MOST_CONFUSED = 10
NORMAL_QUANTILE_975 = 1.959963984540054
"""The standard normal's 97.5 % point, of a two-sided 95 % interval."""


def measure(
    probabilities: Logits, targets: Targets, labels: tuple[str, ...], abstain_threshold: float
) -> Metrics:
    """What a bundle's contract says of the held-out images. probabilities [n, classes], targets [n]."""
    predicted, confidence = probabilities.argmax(1), probabilities.max(1).clip(0, 1)
    return Metrics(
        images=len(targets),
        accuracy=float((predicted == targets).mean()),
        loss=negative_log_likelihood(probabilities, targets),
        ece=expected_calibration_error(probabilities, targets),
        per_class={label: _measure_class(predicted, targets, index) for index, label in enumerate(labels)},
        confidences=_by_confidence(confidence),
        right_by_confidence=_by_confidence(confidence[predicted == targets]),
        abstained=int((confidence < abstain_threshold).sum()),
    )


def _by_confidence(confidence: npt.NDArray[np.float32]) -> tuple[int, ...]:
    return tuple(np.histogram(confidence, CONFIDENCE_BINS, (0, 1))[0].tolist())


def accuracy_interval(right: int, images: int) -> tuple[float, float]:
    """The 95 % confidence interval of an accuracy of `right` of `images`: its ends, in [0, 1].

    Wilson's score interval (Wilson 1927, JASA 22:209-212), which stays in [0, 1] and is wider than nothing
    where all or none are right. Raises ValueError unless 0 <= right <= images and images >= 1.
    """
    if not (0 <= right <= images and images >= 1):
        raise ValueError(f"of {images} images {right} cannot be right: 0 <= right <= images, images >= 1")
    share, per_image = right / images, NORMAL_QUANTILE_975**2 / images
    centre = share + per_image / 2
    half = NORMAL_QUANTILE_975 * math.sqrt(share * (1 - share) / images + per_image / (4 * images))
    low, high = (centre - half) / (1 + per_image), (centre + half) / (1 + per_image)
    return max(0.0, low) if right else 0.0, min(1.0, high) if right < images else 1.0


@dataclass(frozen=True)
class Majority:
    """Always naming the most frequent class."""

    label: str
    accuracy: float


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies between `low` and `high`."""

    low: float
    high: float
    images: int
    confidence: float
    """their mean"""
    accuracy: float


def reliability(probabilities: Logits, targets: Targets) -> list[Bin]:
    """Confidence against accuracy in 15 equal bins of confidence; bins without images are left out."""
    return bins_of(probabilities.max(1), probabilities.argmax(1) == targets)


def bins_of(confidence: Logits, right: npt.NDArray[np.bool_] | Targets) -> list[Bin]:
    """Of answers [n], and whether each is right, or 0 and 1; bins without answers are left out."""
    places = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    return [
        Bin(
            low=place / ECE_BINS,
            high=(place + 1) / ECE_BINS,
            images=int((places == place).sum()),
            confidence=float(confidence[places == place].mean(dtype=np.float64)),
            accuracy=float(right[places == place].mean()),
        )
        for place in np.unique(places).tolist()
    ]


def expected_calibration_error(probabilities: Logits, targets: Targets) -> float:
    """Mean gap of confidence and accuracy over the bins of `reliability`, weighted by their images."""
    gaps = (b.images * abs(b.accuracy - b.confidence) for b in reliability(probabilities, targets))
    return sum(gaps) / len(targets)


@dataclass(frozen=True)
class Coverage:
    """What is right of the surest images: arrays of one length, from the surest answer to all of them."""

    confidence: npt.NDArray[np.float32]
    """falling: those whose probability reaches it are answered"""
    share: npt.NDArray[np.float64]
    """of all images that are answered, in [0, 1]"""
    accuracy: npt.NDArray[np.float64]
    """of those"""


def coverage(probabilities: Logits, targets: Targets) -> Coverage:
    """Images of equal confidence are answered or left together, so they make one entry."""
    order = np.argsort(-probabilities.max(1), kind="stable")
    confidence = probabilities.max(1)[order]
    answered = np.arange(1, len(order) + 1)
    accuracy = (probabilities.argmax(1) == targets)[order].cumsum() / answered
    ends = np.append(confidence[1:] != confidence[:-1], True)
    return Coverage(confidence[ends], answered[ends] / len(order), accuracy[ends])


def confusion(predicted: Targets, targets: Targets, classes: int) -> Targets:
    """int64 [classes, classes]: rows are the truth, columns the predictions."""
    return np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class Pair:
    """Images of `truth` that were taken for `predicted`."""

    truth: str
    predicted: str
    count: int


def most_confused(counts: Targets, labels: tuple[str, ...]) -> list[Pair]:
    """The pairs of a confusion matrix with most images, ten at most."""
    pairs = [
        Pair(labels[truth], labels[predicted], int(counts[truth, predicted]))
        for truth, predicted in zip(*counts.nonzero(), strict=True)
        if truth != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair.count)[:MOST_CONFUSED]


def negative_log_likelihood(probabilities: Logits, targets: Targets) -> float:
    """Mean, in nats."""
    return float(_losses(probabilities, targets).mean())


def loss_error(probabilities: Logits, targets: Targets) -> float:
    """The standard error of `negative_log_likelihood`, in nats: how far other images may move it."""
    losses = _losses(probabilities, targets)
    return float(losses.std(ddof=1) / math.sqrt(len(losses))) if len(losses) > 1 else math.inf


def _losses(probabilities: Logits, targets: Targets) -> npt.NDArray[np.float64]:
    chosen = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return np.asarray(-np.log(np.maximum(chosen, 1e-12)))


def softmax(logits: Logits) -> Logits:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), dtype=logits.dtype)


def _measure_class(predicted: Targets, targets: Targets, index: int) -> ClassMetrics:
    right = int(((predicted == index) & (targets == index)).sum())
    images, claimed = int((targets == index).sum()), int((predicted == index).sum())
    return ClassMetrics(
        images=images,
        precision=right / claimed if claimed else 0.0,
        recall=right / images if images else 0.0,
    )
