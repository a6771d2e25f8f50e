"""Two models' answers to the same images: how far apart they are, and how far chance alone moves that."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Paired:
    """What two models make of the same images: of all, or of one class, whose accuracy is its recall."""

    images: int
    fixed: int
    """the new model is right, the old one was not"""
    broken: int
    """the old model was right, the new one is not"""
    new_right: int
    old_right: int
    difference: float
    """of the new model's share of right answers from the old one's"""
    interval: tuple[float, float]
    """of the difference, at `confidence`"""
    confidence: float
    mcnemar_p: float
    """how often chance alone divides the changed answers so unevenly"""

    @property
    def is_worse(self) -> bool:
        """The whole interval lies below 0: the new model is worse, further than chance takes it."""
        return self.interval[1] < 0

    @property
    def is_better(self) -> bool:
        return self.interval[0] > 0


def paired(new: Right, old: Right, confidence: float) -> Paired:
    """new, old: bool [n], n >= 1, whether each model is right about each image; confidence in (0, 1)."""
    fixed, broken = int((new & ~old).sum()), int((~new & old).sum())
    both, images = int((new & old).sum()), len(new)
    return Paired(
        images=images,
        fixed=fixed,
        broken=broken,
        new_right=both + fixed,
        old_right=both + broken,
        difference=(fixed - broken) / images,
        interval=difference_interval(both, fixed, broken, images - both - fixed - broken, confidence),
        confidence=confidence,
        mcnemar_p=mcnemar(fixed, broken),
    )


def mcnemar(fixed: int, broken: int) -> float:
    """The exact two-sided p-value of McNemar's test (McNemar 1947, Psychometrika 12:153-157).

    Were both models alike, each changed answer would be as likely fixed as broken.
    """
    return float(_binomial(fixed, fixed + broken).pvalue) if fixed + broken else 1.0


def difference_interval(
    both: int, fixed: int, broken: int, neither: int, confidence: float
) -> tuple[float, float]:
    """The interval of a difference of paired proportions: its ends, in [-1, 1].

    Newcombe's score interval with a corrected phi (method 10 of Newcombe 1998, Statistics in Medicine
    17:2635-2650), from Wilson's intervals of either share. Raises ValueError unless there is an image.
    """
    images = both + fixed + broken + neither
    new, old = _share(both + fixed, images, confidence), _share(both + broken, images, confidence)
    phi, difference = _phi(both, fixed, broken, neither), (fixed - broken) / images
    below = _joined(new.below, old.above, phi)
    above = _joined(new.above, old.below, phi)
    return max(-1.0, difference - below), min(1.0, difference + above)


@dataclass(frozen=True)
class _Reach:
    """How far Wilson's interval reaches from a share."""

    below: float
    above: float


def _share(right: int, images: int, confidence: float) -> _Reach:
    if images < 1:
        raise ValueError("there is no image to compare two models on")
    ends = _binomial(right, images).proportion_ci(confidence, method="wilson")
    return _Reach(right / images - float(ends.low), float(ends.high) - right / images)


def _binomial(right: int, images: int) -> Any:
    from scipy import stats  # takes a second to import, which a training that compares nothing need not pay

    return stats.binomtest(right, images)


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def _phi(both: int, fixed: int, broken: int, neither: int) -> float:
    """How far the models are right on the same images; less sure of it where there are few images."""
    images = both + fixed + broken + neither
    margins = (both + fixed) * (broken + neither) * (both + broken) * (fixed + neither)
    if not margins:
        return 0.0
    product = both * neither - fixed * broken
    corrected = max(product - images / 2, 0.0) if product > 0 else product
    return corrected / math.sqrt(margins)
