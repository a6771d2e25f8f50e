"""How the images of each group fare, and how far off the accuracy may be where groups are the units."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.evaluate.metrics import NORMAL_QUANTILE_975, accuracy_interval

T_QUANTILES_975: Final = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's, of 1 to 10 degrees of freedom."""


@dataclass(frozen=True)
class OfGroup:
    group: str
    images: int
    right: int

    @property
    def accuracy(self) -> float:
        return self.right / self.images


@dataclass(frozen=True)
class ByGroup:
    """The images that a model's figures are told of, by their groups."""

    groups: tuple[OfGroup, ...]
    """the one with the lowest accuracy first"""

    @property
    def images(self) -> int:
        return sum(group.images for group in self.groups)

    @property
    def right(self) -> int:
        return sum(group.right for group in self.groups)

    @property
    def accuracy(self) -> float:
        return self.right / self.images

    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of the accuracy over groups like these; None of a single one.

        The accuracy is a ratio of two sums over groups, whose error follows from how far each is off by it
        (linearised, Cochran 1977, section 6.4), with Student's quantile. Never narrower than where each image
        counts for itself.
        """
        number = len(self.groups)
        if number < 2:
            return None
        off = sum((group.right - self.accuracy * group.images) ** 2 for group in self.groups)
        half = _t_quantile(number - 1) * math.sqrt(off * number / (number - 1)) / self.images
        low, high = accuracy_interval(self.right, self.images)
        return max(0.0, min(low, self.accuracy - half)), min(1.0, max(high, self.accuracy + half))


def by_group(groups: Sequence[str], is_right: npt.NDArray[np.bool_]) -> ByGroup:
    """Of each image the group, and whether the model is right of it, [n]."""
    images = Counter(groups)
    right = Counter(group for group, is_so in zip(groups, is_right.tolist(), strict=True) if is_so)
    each = (OfGroup(group, images[group], right[group]) for group in images)
    return ByGroup(tuple(sorted(each, key=lambda group: (group.accuracy, group.group))))


@dataclass(frozen=True)
class Fall:
    """By how much the accuracy is lower where groups are kept apart than on a random split."""

    points: float
    """in [-1, 1]"""
    interval: tuple[float, float] | None
    """95 % confidence interval"""

    @property
    def is_beyond_chance(self) -> bool:
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def fall(apart: ByGroup, random_right: int, random_images: int) -> Fall:
    """The interval is of the intervals of either, as Newcombe 1998 (method 10) has it for two shares."""
    random, interval = random_right / random_images, apart.interval()
    points = random - apart.accuracy
    if interval is None:
        return Fall(points, None)
    low, high = accuracy_interval(random_right, random_images)
    below = math.hypot(random - low, interval[1] - apart.accuracy)
    above = math.hypot(high - random, apart.accuracy - interval[0])
    return Fall(points, (points - below, points + above))


def _t_quantile(freedom: int) -> float:
    """Beyond ten by the first term of Cornish and Fisher's expansion, which is off by 0.03 at most."""
    if freedom <= len(T_QUANTILES_975):
        return T_QUANTILES_975[freedom - 1]
    normal = NORMAL_QUANTILE_975
    return normal + (normal**3 + normal) / (4 * freedom)
