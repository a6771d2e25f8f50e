"""How many answers are right, where nobody knows the labels: expected from calibrated probabilities.

What a calibrated model says of an answer is how often such answers are right, so that the mean of what it
says is the accuracy to expect. (D. Guillory et al., Predicting with Confidence on Unseen Distributions, 2021,
arXiv 2107.03315, call it average confidence, and show how it fails.) It holds for images of the kind that the
model was calibrated on. Under a strong shift a model is sure and wrong, and no such estimate notices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PRIOR_IMAGES: Final = 3.0
"""What a probability itself counts for, beside the measured images of its bin."""
_NORMAL_975: Final = 1.959963984540054


@dataclass(frozen=True)
class Answers:
    """Answers of which the truth is not known, in bins of their probability."""

    images: Sequence[int]
    confidence: Sequence[float]
    """sum of the probabilities of a bin's answers"""


@dataclass(frozen=True)
class ExpectedAccuracy:
    accuracy: float
    interval_95: tuple[float, float]


def expected_accuracy(
    answers: Answers, measured: Sequence[int], right: Sequence[int]
) -> ExpectedAccuracy | None:
    """By images where the truth was known: `measured` of them in each bin, of which `right` were right.

    In each bin the share that was right counts as many images as there were, the model's own probability
    PRIOR_IMAGES. The interval has the errors of these shares, and of the draw of the answers, each by the
    variance that A. Agresti and B. Coull give a share (1998, The American Statistician 52:119-126), which is
    more than nothing where all or none were right. None where there is no answer. Raises ValueError for other
    numbers of bins.
    """
    total = sum(answers.images)
    if not total:
        return None
    mean = variance = 0.0
    for n, confidence, known, good in zip(answers.images, answers.confidence, measured, right, strict=True):
        if not n:
            continue
        weight = known + PRIOR_IMAGES
        share = (good + PRIOR_IMAGES * min(confidence / n, 1.0)) / weight
        near = (share * weight + 2) / (weight + 4)
        mean += n / total * share
        variance += (n / total) ** 2 * near * (1 - near) * (1 / (weight + 4) + 1 / n)
    half = _NORMAL_975 * math.sqrt(variance)
    return ExpectedAccuracy(mean, (max(0.0, mean - half), min(1.0, mean + half)))
