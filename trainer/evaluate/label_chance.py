"""What ranking images by chance comes to, for each of several labels."""

from functools import lru_cache
from typing import Final

import numpy as np

from trainer.evaluate.label_metrics import Floats

RANKINGS: Final = 400
"""Drawn, for the share of them that is lucky."""
LUCKY: Final = 0.95
MOST_DRAWN: Final = 500
"""Places of a label's images that are drawn: the average precision of more hardly differs from its mean."""


@lru_cache(maxsize=8)
def by_chance(counts: tuple[int, ...], images: int) -> tuple[float, float]:
    """The mean average precision of labels that so many of the images have, each 1 or more, ranked by chance,
    each by itself: its mean, and what 1 ranking in 20 reaches. 0 and 0 of no labels. The same each time."""
    if not counts:
        return 0.0, 0.0
    means = [_mean_by_chance(count, images) for count in counts]
    random = np.random.default_rng(0)
    drawn = np.zeros(RANKINGS)
    for count, mean in zip(counts, means, strict=True):
        drawn += _drawn(count, images, random) if count <= MOST_DRAWN else mean
    return sum(means) / len(counts), float(np.quantile(drawn / len(counts), LUCKY))


def _mean_by_chance(count: int, images: int) -> float:
    """Of all orders. That an image has the label is as likely at each place, and that one before it has it
    too: the mean precision at a place is known (Bestgen 2015, Exact expected average precision of the random
    baseline)."""
    if images == 1:
        return 1.0
    harmonic = float((1 / np.arange(1, images + 1)).sum())
    return (harmonic + (count - 1) / (images - 1) * (images - harmonic)) / images


def _drawn(count: int, images: int, random: np.random.Generator) -> Floats:
    """Average precisions of RANKINGS orders."""
    right = np.arange(1, count + 1)
    return np.array([np.mean(right / _places(count, images, random)) for _ in range(RANKINGS)])


def _places(count: int, images: int, random: np.random.Generator) -> Floats:
    """Of the images that have a label, from 1 up: in ascending order."""
    return np.asarray(1 + np.sort(random.choice(images, count, replace=False, shuffle=False)), np.float64)
