"""How far a run is from the last one, or from the held-out images: in classes, confidence and abstentions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fovea.model.distance import Counts, abstentions, psi, psi_by_chance, tenths
from scorer.committing.class_distribution import ClassDistribution

NO_CHANGE: Final = 0.1
LARGE_CHANGE: Final = 0.25
WORDS: Final = ("none", "some", "large")
KINDS: Final = {"drift": "classes", "confidence_drift": "confidence", "abstained_drift": "abstentions"}
"""Where summary.json has a drift -> of what."""


@dataclass(frozen=True)
class DriftScore:
    """How far apart two distributions are.

    Chance is that of samples that have nothing to do with each other; of two runs over the same images it
    makes less.
    """

    psi: float
    by_chance: float
    """What the PSI of two samples of one distribution, as large as these, exceeds once in a hundred times."""

    @property
    def word(self) -> str:
        """none, some or large: the usual reading, except that what chance alone may give is none."""
        if self.psi < NO_CHANGE or self.psi <= self.by_chance:
            return "none"
        return "some" if self.psi <= LARGE_CHANGE else "large"

    def as_json(self) -> dict[str, Any]:
        return {"psi": round(self.psi, 4), "by_chance": round(self.by_chance, 4), "word": self.word}


@dataclass(frozen=True)
class Reference:
    """What a distribution is compared with; None where that is not known, or is not to be compared."""

    labels: Mapping[str, int]
    confidences: Sequence[int] | None
    """images by the probability of the best label, in equal bins from 0 to 1"""
    abstained: int | None

    @classmethod
    def of(cls, distribution: ClassDistribution, *, same_model: bool) -> "Reference":
        """Another model is sure of other things, so of its runs only the classes tell of the images."""
        if not same_model:
            return cls(distribution.labels, None, None)
        return cls(distribution.labels, distribution.confidence()["bins"], distribution.abstained)


def drifts(
    distribution: ClassDistribution, reference: Reference, classes: Iterable[str] = ()
) -> dict[str, Any]:
    """JSON-ready, by the names of KINDS; None where there is nothing to compare.

    `classes` are the ones that both could have, beside those that they have.
    """
    scores = {
        "drift": drift_between(distribution.labels, reference.labels, classes),
        "confidence_drift": _confidence_drift(distribution, reference),
        "abstained_drift": _abstained_drift(distribution, reference),
    }
    return {kind: score.as_json() if score else None for kind, score in scores.items()}


def worst(compared: Mapping[str, Any]) -> str | None:
    """The word for the largest of the drifts; None where there is none."""
    words = [compared[kind]["word"] for kind in KINDS if compared.get(kind)]
    return max(words, key=WORDS.index, default=None)


def drift_between(
    seen: Mapping[str, int], reference: Mapping[str, int], classes: Iterable[str] = ()
) -> DriftScore | None:
    """None where one of them has no image, or there is only one class: then there is nothing to compare."""
    names = sorted({*seen, *reference, *classes})
    ours, theirs = (
        np.array([counts.get(name, 0) for name in names], np.int64) for counts in (seen, reference)
    )
    return _drift(ours, theirs) if len(names) > 1 else None


def _confidence_drift(distribution: ClassDistribution, reference: Reference) -> DriftScore | None:
    """In the tenths that one of them has images in: empty ones would make much of the other's size."""
    if reference.confidences is None:
        return None
    ours, theirs = tenths(distribution.confidence()["bins"]), tenths(reference.confidences)
    occupied = (ours > 0) | (theirs > 0)
    if occupied.sum() == 1:
        return DriftScore(0.0, 0.0)
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
    return DriftScore(psi(ours, theirs), psi_by_chance(int(ours.sum()), int(theirs.sum()), len(ours)))
