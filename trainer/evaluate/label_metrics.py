"""What answers are worth where an image may have several labels."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.model.measured import ClassMetrics, LabelMetrics, LabelScore, Metrics
from fovea.model.task import Selected, selected
from trainer.evaluate.metrics import ECE_BINS, Logits, Targets, accuracy_interval

Floats = npt.NDArray[np.float64]

LEAST_PROBABILITY: Final = 1e-12
"""Of which a logarithm is taken."""


def measure_labels(
    probabilities: Logits, targets: Targets, labels: Sequence[str], thresholds: Sequence[float]
) -> tuple[Metrics, LabelMetrics]:
    """What a multi-label bundle's contract says of images. probabilities and targets (0, 1) [n, labels]."""
    chosen = selected(probabilities, thresholds)
    scores = {
        label: _score(probabilities[:, place], chosen[:, place], targets[:, place], thresholds[place])
        for place, label in enumerate(labels)
    }
    metrics = Metrics(
        images=len(targets),
        accuracy=float((chosen == targets).all(1).mean()),
        loss=float(label_losses(probabilities, targets).mean()),
        ece=decisions_ece(probabilities, targets),
        per_class={
            label: ClassMetrics(images=row.images, precision=row.precision, recall=row.recall)
            for label, row in scores.items()
        },
    )
    return metrics, LabelMetrics(
        map=mean_average_precision(probabilities, targets),
        micro_f1=_f1(int((chosen & (targets == 1)).sum()), int(chosen.sum()), int(targets.sum())),
        macro_f1=_mean([row.f1 for row in scores.values() if row.images]),
        per_label=scores,
    )


def _score(probabilities: Logits, chosen: Selected, targets: Targets, threshold: float) -> LabelScore:
    """Of one label: arrays [n]."""
    images, claimed = int(targets.sum()), int(chosen.sum())
    right = int((chosen & (targets == 1)).sum())
    return LabelScore(
        images=images,
        selected=claimed,
        right=right,
        average_precision=average_precision(probabilities, targets) if images else None,
        precision=right / claimed if claimed else 0.0,
        precision_interval=accuracy_interval(right, claimed) if claimed else None,
        recall=right / images if images else 0.0,
        recall_interval=accuracy_interval(right, images) if images else None,
        threshold=threshold,
    )


def average_precision(scores: npt.NDArray[np.floating], targets: Targets) -> float:
    """The mean precision at each image that has the label, from the highest score down; equal scores come
    together. scores and targets (0, 1) [n], of which one at least is 1. As scikit-learn has it."""
    precision, recall, _ = precision_recall(scores, targets)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def precision_recall(
    scores: npt.NDArray[np.floating], targets: Targets
) -> tuple[Floats, Floats, npt.NDArray[np.floating]]:
    """Of everything from each score up: precision, recall and the score, from the highest down; one entry for
    equal scores. As `average_precision`."""
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], targets[order].cumsum()
    ends = np.append(ranked[1:] != ranked[:-1], True)
    return (right / np.arange(1, len(right) + 1))[ends], (right / right[-1])[ends], ranked[ends]


def mean_average_precision(probabilities: Logits, targets: Targets) -> float:
    """Of the labels that some image has; 0 where there is none."""
    present = np.flatnonzero(targets.sum(0))
    return _mean([average_precision(probabilities[:, p], targets[:, p]) for p in present.tolist()])


def label_losses(probabilities: Logits, targets: Targets) -> Floats:
    """Binary cross-entropy of each decision, in nats: float64 [n, labels]."""
    wanted = np.where(targets == 1, probabilities.astype(np.float64), 1 - probabilities.astype(np.float64))
    return np.asarray(-np.log(np.maximum(wanted, LEAST_PROBABILITY)))


def standard_error(losses: Floats) -> float:
    """Of the mean of an image's losses [n]: how far other images may move it."""
    return float(losses.std(ddof=1) / math.sqrt(len(losses))) if len(losses) > 1 else math.inf


def decisions_ece(probabilities: Logits, targets: Targets) -> float:
    """Expected calibration error of all decisions together, or of one label's [n]: the mean gap of a
    probability and how often the label is there, over 15 equal bins, weighted by their decisions."""
    said, true = probabilities.ravel(), targets.ravel()
    bins = np.minimum((said * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, said, ECE_BINS) - np.bincount(bins, true, ECE_BINS)
    return float(np.abs(gaps).sum() / len(said))


def sigmoid(logits: Logits) -> Logits:
    """Element by element, in float64 and back, so that neither end overflows."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64))), logits.dtype)


def _f1(right: int, claimed: int, there: int) -> float:
    return 2 * right / (claimed + there) if claimed + there else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
