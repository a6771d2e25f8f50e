"""Which labels are most likely wrong, by what a network that did not see them says: confident learning."""

from collections.abc import Iterator

import numpy as np

from trainer.evaluate.metrics import Logits, Targets, confusion

ROUNDING = 1e-6
"""A probability that is its class's threshold reaches it, whatever a mean of float32 came to."""


def doubtful_labels(probabilities: Logits, targets: Targets) -> Targets:
    """int64 [m]: the images whose label is doubted, the most doubtful first. It is a ranking of suspicions.

    `probabilities` float32 [n, classes] are of images that the network was not trained on; `targets` [n] are
    their labels. How many images of a label belong to another class is estimated; as many are doubted, those
    to which the network gives most of that class beside their label, in order of the label's own probability.
    Northcutt, Jiang and Chuang 2021, JAIR 70, arXiv 1911.00068: pruned by noise rate, ranked by
    self-confidence. As cleanlab does by default, but that numbers are rounded up.
    """
    own = probabilities[np.arange(len(targets)), targets]
    counts = _estimate_errors(probabilities, own, targets)
    doubted = np.zeros(len(targets), bool)
    for chosen in _most_likely(probabilities, own, targets, counts):
        doubted[chosen] = True
    doubted &= probabilities.argmax(1) != targets
    places = np.flatnonzero(doubted)
    return np.asarray(places[np.argsort(own[places], kind="stable")], np.int64)


def suggested_labels(probabilities: Logits, targets: Targets) -> Targets:
    """int64 [n]: for each image the most probable class but its label."""
    others = probabilities.copy()
    others[np.arange(len(targets)), targets] = -1
    return np.asarray(others.argmax(1), np.int64)


def _estimate_errors(probabilities: Logits, own: Logits, targets: Targets) -> Targets:
    """int64 [classes, classes]: how many images of a label (row) are of a class (column).

    The confident joint: a class is sure of an image to which it gives no less than, on average, to those that
    are labelled so. Images that no class is sure of are as the others of their label. Rounded up.
    """
    classes = probabilities.shape[1]
    sure = probabilities >= _thresholds(own, targets, classes) - ROUNDING
    surest = np.where(sure, probabilities, -1).argmax(1)
    confident = sure.any(1)
    joint = confusion(surest[confident], targets[confident], classes)
    np.fill_diagonal(joint, joint.diagonal().clip(min=1))
    images = np.bincount(targets, minlength=classes)
    return np.asarray(np.ceil(joint * (images / joint.sum(1))[:, None] - ROUNDING), np.int64)


def _most_likely(probabilities: Logits, own: Logits, targets: Targets, counts: Targets) -> Iterator[Targets]:
    """For each label and another class as many of its images as there are errors."""
    for label, other in zip(*counts.nonzero(), strict=True):
        members = np.flatnonzero(targets == label)
        if label != other:
            margins = probabilities[members, other] - own[members]
            yield members[np.argsort(-margins, kind="stable")[: counts[label, other]]]


def _thresholds(own: Logits, targets: Targets, classes: int) -> Logits:
    """float64 [classes]: the mean probability of a label on its own images; of a class without any, none."""
    counts = np.bincount(targets, minlength=classes)
    sums = np.bincount(targets, weights=own, minlength=classes)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.inf))
