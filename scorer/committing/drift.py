"""How far a run is from the last one, or from the held-out images: in classes, confidence and abstentions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np

from fovea.model.distance import (
    Counts,
    Selections,
    abstentions,
    label_psi,
    label_psi_by_chance,
    psi,
    psi_by_chance,
    tenths,
)
from scorer.committing.class_distribution import ClassDistribution
from scorer.files.summary import DriftScore

NO_CHANGE: Final = 0.1
LARGE_CHANGE: Final = 0.25


class Drifts(TypedDict):
    """The drifts of a comparison, by their names in it; None where there is nothing to compare."""

    drift: DriftScore | None
    confidence_drift: DriftScore | None
    abstained_drift: DriftScore | None


@dataclass(frozen=True)
class Reference:
    """What a distribution is compared with; None where that is not known, or is not to be compared."""

    labels: Mapping[str, int]
    confidences: Sequence[int] | None
    """images by the probability of the best label, in equal bins from 0 to 1"""
    abstained: int | None
    labelled: int | None = None
    """images of a multi-label model, whose labels may be several or none; None of another"""

    @classmethod
    def of(cls, distribution: ClassDistribution, *, same_model: bool) -> "Reference":
        """Another model is sure of other things, so of its runs only the classes tell of the images."""
        labelled = distribution.labelled
        if not same_model:
            return cls(distribution.labels, None, None, labelled)
        abstained = distribution.abstained if labelled is None else None
        return cls(distribution.labels, distribution.confidence().bins, abstained, labelled)


def drifts(distribution: ClassDistribution, reference: Reference, classes: Iterable[str] = ()) -> Drifts:
    """`classes` are the ones that both could have, beside those that they have."""
    return {
        "drift": _class_drift(distribution, reference, classes),
        "confidence_drift": _confidence_drift(distribution, reference),
        "abstained_drift": _abstained_drift(distribution, reference),
    }


def drift_between(
    seen: Mapping[str, int], reference: Mapping[str, int], classes: Iterable[str] = ()
) -> DriftScore | None:
    """None where one of them has no image, or there is only one class: then there is nothing to compare."""
    names = sorted({*seen, *reference, *classes})
    ours, theirs = (
        np.array([counts.get(name, 0) for name in names], np.int64) for counts in (seen, reference)
    )
    return _drift(ours, theirs) if len(names) > 1 else None


def _class_drift(
    distribution: ClassDistribution, reference: Reference, classes: Iterable[str]
) -> DriftScore | None:
    if reference.labelled is None:
        return drift_between(distribution.labels, reference.labels, classes)
    names = sorted({*distribution.labels, *reference.labels, *classes})
    theirs = Selections(
        np.array([reference.labels.get(name, 0) for name in names], np.int64), reference.labelled
    )
    ours = distribution.selections(names)
    if not (names and ours.images and theirs.images):
        return None
    index, worst = label_psi(ours, theirs)
    return score(index, label_psi_by_chance(ours, theirs)).model_copy(update={"label": names[worst]})


def _confidence_drift(distribution: ClassDistribution, reference: Reference) -> DriftScore | None:
    """In the tenths that one of them has images in: empty ones would make much of the other's size."""
    if reference.confidences is None:
        return None
    ours, theirs = tenths(distribution.confidence().bins), tenths(reference.confidences)
    occupied = (ours > 0) | (theirs > 0)
    if occupied.sum() == 1:
        return score(0.0, 0.0)
    return _drift(ours[occupied], theirs[occupied])


def _abstained_drift(distribution: ClassDistribution, reference: Reference) -> DriftScore | None:
    if reference.abstained is None:
        return None
    images = sum(reference.labels.values())
    return _drift(
        abstentions(distribution.abstained, distribution.images), abstentions(reference.abstained, images)
    )


def _drift(ours: Counts, theirs: Counts) -> DriftScore | None:
    if not ours.any() or not theirs.any():
        return None
    return score(psi(ours, theirs), psi_by_chance(int(ours.sum()), int(theirs.sum()), len(ours)))


def score(index: float, by_chance: float) -> DriftScore:
    """`index` is a PSI; in the usual reading, except that what chance alone may give is none."""
    word = "some" if index <= LARGE_CHANGE else "large"
    if index < NO_CHANGE or index <= by_chance:
        word = "none"
    return DriftScore(psi=round(index, 4), by_chance=round(by_chance, 4), word=word)
