"""How far probabilities can be believed: the temperature that they need, and when to abstain."""

from dataclasses import dataclass

import numpy as np

from trainer.evaluate.metrics import (
    Logits,
    Targets,
    coverage,
    expected_calibration_error,
    negative_log_likelihood,
    softmax,
)


@dataclass(frozen=True)
class Calibration:
    """Fitted on the held-out images; what it comes to is of them too, until it is told of others."""

    temperature: float
    """1 where the fitted one would raise the calibration error"""
    abstain_threshold: float
    ece_before: float
    ece_after: float
    kept: int
    """images whose probability reaches the threshold"""
    kept_right: int
    fitted: float = 1.0
    """the temperature of the lowest negative log likelihood, whether it is taken or not"""

    def told_of(self, logits: Logits, targets: Targets) -> "Calibration":
        """The same temperature and threshold, with what they come to on other images."""
        return _come_to(logits, targets, self.temperature, self.abstain_threshold, self.fitted)


def calibrate(logits: Logits, targets: Targets, target_precision: float) -> Calibration:
    """logits [n, classes], targets [n]. A fitted temperature that makes the calibration error worse, as with
    few images it may, is not taken: then it is 1."""
    fitted = fit_temperature(logits, targets)
    before = expected_calibration_error(softmax(logits), targets)
    helps = expected_calibration_error(softmax(logits / fitted), targets) <= before
    temperature = fitted if helps else 1.0
    threshold = abstain_threshold(softmax(logits / temperature), targets, target_precision)
    return _come_to(logits, targets, temperature, threshold, fitted)


def _come_to(
    logits: Logits, targets: Targets, temperature: float, threshold: float, fitted: float
) -> Calibration:
    after = softmax(logits / temperature)
    answered = after.max(1) >= threshold
    return Calibration(
        temperature,
        threshold,
        expected_calibration_error(softmax(logits), targets),
        expected_calibration_error(after, targets),
        int(answered.sum()),
        int((after.argmax(1) == targets)[answered].sum()),
        fitted,
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


def abstain_threshold(probabilities: Logits, targets: Targets, target_precision: float) -> float:
    """The smallest confidence from which on `target_precision` of the images are right, 1 if none is."""
    covered = coverage(probabilities, targets)
    reached = np.flatnonzero(covered.accuracy >= target_precision)
    if not len(reached):
        return 1.0
    if reached[-1] == len(covered.accuracy) - 1:
        return 0.0
    # Half way to the first image that is left, so that rounding on another machine changes nothing.
    last, next_one = map(float, covered.confidence[reached[-1] : reached[-1] + 2])
    return round((last + next_one) / 2, 6)
