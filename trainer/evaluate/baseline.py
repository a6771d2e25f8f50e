"""Is a model better than always naming the most frequent class, further than chance takes it?"""

import math
from typing import Final, Literal

from fovea.model.distance import predicted_on_held_out
from fovea.model.measured import Metrics
from trainer.evaluate.metrics import accuracy_interval

CHANCE: Final = 0.01
"""Answers that have nothing to do with the images may pass for better so often, at most."""

Standing = Literal["better", "no better", "too few to tell"]


def beside_majority(metrics: Metrics) -> Standing:
    """`better` is right more often than always naming the most frequent class, and not by chance alone.

    By chance alone is ruled out where the 95 % interval of the accuracy lies above that class's share, or
    where more of the answers that name another class are right than chance gives: the first says little of
    data where one class is most of them. `too few to tell` are images that not even a model that is always
    right could show its worth on; this one must at least be right more often.
    """
    if metrics.right <= _of_the_majority(metrics):
        return "no better"
    if _is_surely_better(metrics):
        return "better"
    return "no better" if _is_surely_better(_always_right(metrics)) else "too few to tell"


def share_taken(metrics: Metrics) -> float:
    """How much of what always naming one class leaves wrong this model makes right, 1 for all of it.

    Of the images' errors or of the classes', whichever is more: where one class is most of the images, the
    accuracy hardly moves. (Goodman and Kruskal's lambda, and the same of macro recall.)
    """
    _, share = metrics.majority
    guessed = 1 / max(1, sum(row.images > 0 for row in metrics.per_class.values()))
    pairs = ((metrics.accuracy, share), (metrics.macro_recall, guessed))
    return max((rate - base) / (1 - base) if base < 1 else 0.0 for rate, base in pairs)


def _is_surely_better(metrics: Metrics) -> bool:
    low, _ = accuracy_interval(metrics.right, metrics.images)
    return low > metrics.majority[1] or _names_others_beyond_chance(metrics)


def _names_others_beyond_chance(metrics: Metrics) -> bool:
    """Of `named` answers that are not the majority's, `right` are right; by chance it were `expected`.

    Whether chance would do that less often than CHANCE, by Chernoff's bound on a binomial tail, which never
    says so too early: P(X >= right) <= exp(-named KL(right / named || expected / named)).
    """
    majority, _ = metrics.majority
    labels = tuple(metrics.per_class)
    counts = dict(zip(labels, predicted_on_held_out(labels, metrics).tolist(), strict=True))
    others = {label: row for label, row in metrics.per_class.items() if label != majority}
    named = sum(counts[label] for label in others)
    right = sum(round(row.images * row.recall) for row in others.values())
    if not named or not right:
        return False
    expected: float = sum(counts[label] * row.images for label, row in others.items()) / metrics.images
    evidence = named * _divergence(right / named, expected / named) if right > expected else 0.0
    return evidence > -math.log(CHANCE)


def _divergence(share: float, by_chance: float) -> float:
    """Kullback and Leibler's, of two coins, in nats; share and by_chance in (0, 1], share above by_chance."""
    misses = (1 - share) * math.log((1 - share) / (1 - by_chance)) if share < 1 else 0.0
    return share * math.log(share / by_chance) + misses


def _always_right(metrics: Metrics) -> Metrics:
    rows = {
        label: row.model_copy(update={"precision": 1.0, "recall": 1.0} if row.images else {})
        for label, row in metrics.per_class.items()
    }
    return metrics.model_copy(update={"accuracy": 1.0, "per_class": rows})


def _of_the_majority(metrics: Metrics) -> int:
    return metrics.per_class[metrics.majority[0]].images
