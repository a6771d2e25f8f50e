"""How far probabilities can be believed: temperature, calibration error, and when to abstain."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fovea.bundle import ClassMetrics, Metrics

Logits = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]

ECE_BINS = 15
NORMAL_QUANTILE_975 = 1.959963984540054
"""The standard normal's 97.5 % point, of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Calibration:
    """Fitted on the held-out images."""

    temperature: float
    abstain_threshold: float
    ece_before: float
    ece_after: float
    kept: int
    """images whose probability reaches the threshold"""
    kept_right: int


def calibrate(logits: Logits, targets: Targets, target_precision: float) -> Calibration:
    """logits [n, classes], targets [n]."""
    temperature = fit_temperature(logits, targets)
    after = softmax(logits / temperature)
    threshold = abstain_threshold(after, targets, target_precision)
    kept = after.max(1) >= threshold
    return Calibration(
        temperature,
        threshold,
        expected_calibration_error(softmax(logits), targets),
        expected_calibration_error(after, targets),
        int(kept.sum()),
        int((after.argmax(1) == targets)[kept].sum()),
    )


def fit_temperature(logits: Logits, targets: Targets) -> float:
    """The T in [0.05, 20] that minimises the negative log likelihood of softmax(logits / T).

    Guo et al. 2017, arXiv 1706.04599. The likelihood has one minimum in log T: golden-section search.
    """
    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if negative_log_likelihood(softmax(logits / np.exp(left)), targets) < negative_log_likelihood(
            softmax(logits / np.exp(right)), targets
        ):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 6)


def expected_calibration_error(probabilities: Logits, targets: Targets) -> float:
    """Mean gap of confidence and accuracy over 15 equal bins of confidence, weighted by their images."""
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == targets
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs(float((correct[bins == b] - confidence[bins == b]).sum())) for b in np.unique(bins)]
    return sum(gaps) / len(targets)


def abstain_threshold(probabilities: Logits, targets: Targets, target_precision: float) -> float:
    """The smallest confidence from which on `target_precision` of the images are right, 1 if none is."""
    order = np.argsort(-probabilities.max(1), kind="stable")
    confidence = probabilities.max(1)[order]
    precision = (probabilities.argmax(1) == targets)[order].cumsum() / np.arange(1, len(order) + 1)
    # Images of equal confidence are kept or left together, so only the last of them counts.
    ends = np.append(confidence[1:] != confidence[:-1], True)
    reached = np.flatnonzero((precision >= target_precision) & ends)
    if not len(reached):
        return 1.0
    if reached[-1] == len(order) - 1:
        return 0.0
    # Half way to the first image that is left, so that rounding on another machine changes nothing.
    between = (float(confidence[reached[-1]]) + float(confidence[reached[-1] + 1])) / 2
    return round(between, 6)


def measure(probabilities: Logits, targets: Targets, labels: tuple[str, ...]) -> Metrics:
    """What a bundle's contract says of the held-out images. probabilities [n, classes], targets [n]."""
    predicted = probabilities.argmax(1)
    return Metrics(
        images=len(targets),
        accuracy=float((predicted == targets).mean()),
        loss=negative_log_likelihood(probabilities, targets),
        ece=expected_calibration_error(probabilities, targets),
        per_class={label: _measure_class(predicted, targets, index) for index, label in enumerate(labels)},
    )


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


def confusion(predicted: Targets, targets: Targets, classes: int) -> Targets:
    """int64 [classes, classes]: rows are the truth, columns the predictions."""
    return np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)


def negative_log_likelihood(probabilities: Logits, targets: Targets) -> float:
    """Mean, in nats."""
    chosen = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


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
