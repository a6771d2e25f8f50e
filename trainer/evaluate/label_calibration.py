"""A temperature and a threshold for each label."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fovea.model.task import NEVER_SELECTED, ThresholdRule
from trainer.evaluate.label_metrics import decisions_ece, label_losses, precision_recall, sigmoid
from trainer.evaluate.metrics import Logits, Targets

DEFAULT_THRESHOLD: Final = 0.5
"""Of a label that no held-out image has."""
TOGETHER: Final = 1e-5
"""Probabilities that differ by less, as a share of the larger, are no two for a threshold: exported, or on
another machine, either may be the larger."""
BOUNDS: Final = (0.5, 5.0)
"""Of a temperature."""
SPREAD: Final = 0.25
"""Standard deviation of the logarithm of a label's temperature, before its images are looked at."""


@dataclass(frozen=True)
class LabelCalibration:
    """Chosen on the held-out images; the calibration error is of them too, until it is told of others."""

    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]
    rule: ThresholdRule
    ece_before: float
    ece_after: float

    def probabilities(self, logits: Logits) -> Logits:
        """float32 [n, labels] -> the same, as the released model will give them."""
        return sigmoid(np.asarray(logits / np.asarray(self.temperatures, np.float32), np.float32))

    def told_of(self, logits: Logits, targets: Targets) -> "LabelCalibration":
        """The same temperatures and thresholds, with what they come to on other images."""
        after = self.probabilities(logits)
        return replace(
            self,
            ece_before=decisions_ece(sigmoid(logits), targets),
            ece_after=decisions_ece(after, targets),
        )


def calibrate_labels(logits: Logits, targets: Targets, rule: ThresholdRule) -> LabelCalibration:
    """logits, targets (0, 1) [n, labels]."""
    columns = range(logits.shape[1])
    temperatures = fit_label_temperatures(logits, targets)
    after = sigmoid(np.asarray(logits / np.asarray(temperatures, np.float32), np.float32))
    return LabelCalibration(
        temperatures,
        tuple(choose_threshold(after[:, c], targets[:, c], rule) for c in columns),
        rule,
        decisions_ece(sigmoid(logits), targets),
        decisions_ece(after, targets),
    )


def fit_label_temperatures(logits: Logits, targets: Targets) -> tuple[float, ...]:
    """Of logits and targets [n, labels]: near 1 is what all labels share, near that what each has.

    How near is a matter of how much its images say. A label whose few images happen to lie apart from the
    rest would be fitted best by a temperature of 0, which tells nothing of new images.
    """
    shared = _likeliest(logits, targets, 1.0)
    mixed = (targets.min(0) < targets.max(0)).tolist()
    return tuple(
        _likeliest(logits[:, c], targets[:, c], shared) if mixed[c] else shared for c in range(len(mixed))
    )


def _likeliest(logits: Logits, targets: Targets, expected: float) -> float:
    """The T in BOUNDS at which the targets and T itself are likeliest, log(T) being normal about
    log(expected): arrays of one shape."""
    low, high = np.log(BOUNDS)
    ratio = (np.sqrt(5) - 1) / 2

    def loss(log_temperature: float) -> float:
        off = (log_temperature - np.log(expected)) / SPREAD
        return float(label_losses(sigmoid(logits / np.exp(log_temperature)), targets).sum() + off**2 / 2)

    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 6)


def choose_threshold(probabilities: Logits, targets: Targets, rule: ThresholdRule) -> float:
    """Of one label: float32 probabilities, targets (0, 1) [n]; above 0, and a probability or NEVER_SELECTED.

    By F1 the highest threshold of those with the best F1; by precision the lowest from which on the target is
    reached, NEVER_SELECTED where none is. Half way to the next image, which has to be far enough below that
    rounding on another machine changes nothing.
    """
    if not targets.any():
        return DEFAULT_THRESHOLD
    precision, recall, scores = precision_recall(probabilities, targets)
    below = np.append(scores[1:], np.float32(0))
    apart = np.flatnonzero(scores - below > TOGETHER * scores)
    if rule.target_precision is not None:
        places = apart[precision[apart] >= rule.target_precision][-1:]
    else:
        f1 = 2 * precision[apart] * recall[apart] / np.maximum(precision[apart] + recall[apart], 1e-12)
        places = apart[f1.argmax() :][:1] if len(apart) else apart
    if not len(places):
        return DEFAULT_THRESHOLD if rule.by == "f1" else NEVER_SELECTED
    return _between(scores[places[0]], below[places[0]])


def _between(score: np.floating, below: np.floating) -> float:
    """Half way, of six digits where these are enough: above `below`, `score` at most."""
    middle = (float(score) + float(below)) / 2
    for each in (round(middle, 6), float(np.float32(middle))):
        if below < np.float32(each) <= score:
            return each
    return float(score)
