"""Should it be shipped? What the figures say to somebody who has to decide."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from fovea.model.measured import ClassMetrics, Metrics, Opinion, Word
from fovea.pages import named
from trainer.evaluate.baseline import beside_majority, share_taken
from trainer.evaluate.calibration import Calibration
from trainer.evaluate.metrics import accuracy_interval
from trainer.images.audit import AuditRecord
from trainer.pages.markup import percent

WIDE: Final = 0.1
"""A 95 % interval of the accuracy that is wider than this says little."""
JUDGED: Final = 5
"""A class with fewer images measured is not judged by itself."""
NEVER_FOUND_IMAGES: Final = 0.05
NEVER_FOUND_CLASSES: Final = 0.1
"""The share of the images, or of the classes, that makes a model unfit if it is never found."""
HARDLY_BETTER: Final = 0.2
NOT_MUCH_BETTER: Final = 0.5
"""Shares of what always naming the most frequent class leaves wrong."""
MISCALIBRATED: Final = 0.05
FEW_GROUPS: Final = 5
"""Groups (patients, cameras) that say little of others."""


@dataclass(frozen=True)
class Weakest:
    """The class of which the smallest share is found."""

    label: str
    recall: float
    images: int


@dataclass(frozen=True)
class Verdict:
    """In a word, and what speaks against it."""

    word: Word
    interval: tuple[float, float]
    """95 % confidence interval of the accuracy"""
    weakest: Weakest | None
    """of the classes with five such images or more"""
    against: tuple[Markup, ...]
    """sentences without their full stop"""

    no_better: bool
    """than always naming the most frequent class: by default such a model is not published"""
    told: str = "held-out"
    """what the images are called that this is of, or test"""

    @property
    def kind(self) -> str:
        """For the page's colours."""
        return {"Fit to ship": "good", "Not fit to ship": "bad"}.get(self.word, "care")

    @property
    def opinion(self) -> Opinion:
        """As the bundle has it, in plain text."""
        return Opinion(word=self.word, against=tuple(" ".join(r.striptags().split()) for r in self.against))


def judge(metrics: Metrics, calibration: Calibration, audit: AuditRecord, target: float) -> Verdict:
    """`metrics` are the gate's; `audit` is audit.json; `target` is what kept answers were to reach."""
    interval = accuracy_interval(metrics.right, metrics.images)
    judged = {label: row for label, row in metrics.per_class.items() if row.images >= JUDGED}
    label = min(judged, key=lambda name: judged[name].recall, default=None)
    weakest = Weakest(label, judged[label].recall, judged[label].images) if label is not None else None
    unfit = tuple(_unfit(metrics, interval, judged))
    doubts = (
        *_doubts_of_its_worth(metrics, interval, audit.told),
        *_doubts_of_classes(metrics, judged, audit),
        *_doubts_of_its_probabilities(calibration, target),
        *_doubts_of_the_data(audit),
    )
    word: Word = "Not fit to ship" if unfit else "Fit to ship, with care" if doubts else "Fit to ship"
    no_better = beside_majority(metrics) == "no better"
    return Verdict(word, interval, weakest, unfit + doubts, no_better, audit.told)


def _unfit(
    metrics: Metrics, interval: tuple[float, float], judged: dict[str, ClassMetrics]
) -> Iterator[Markup]:
    if beside_majority(metrics) == "no better":
        yield _no_better(metrics)
    elif share_taken(metrics) < HARDLY_BETTER:
        yield Markup("It is hardly better than {}").format(_guessing(metrics))
    if interval[1] < 0.5:
        yield Markup("It is wrong more often than right")
    if _never_found_count(metrics, judged):
        yield _never_found(judged)


def _no_better(metrics: Metrics) -> Markup:
    _, share = metrics.majority
    surely = "" if metrics.accuracy <= share else "surely "
    return Markup("It is not {}better than {}").format(surely, _guessing(metrics))


def _guessing(metrics: Metrics) -> Markup:
    label, share = metrics.majority
    return Markup("always answering {}, which is right for {} of these images").format(
        named(label), percent(share)
    )


def _unfound(judged: dict[str, ClassMetrics]) -> list[str]:
    """Those of most images first."""
    return sorted((n for n, row in judged.items() if not row.recall), key=lambda name: -judged[name].images)


def _never_found_count(metrics: Metrics, judged: dict[str, ClassMetrics]) -> int:
    """How many classes are never found, 0 where they are few among many."""
    labels = _unfound(judged)
    images = sum(judged[label].images for label in labels)
    many = images >= NEVER_FOUND_IMAGES * metrics.images or len(labels) >= NEVER_FOUND_CLASSES * len(judged)
    return len(labels) if many else 0


def _never_found(judged: dict[str, ClassMetrics]) -> Markup:
    first, *others = _unfound(judged)
    return Markup("It never finds {} (none of {:,} images){}").format(
        named(first), judged[first].images, _and_more(len(others))
    )


def _doubts_of_its_worth(metrics: Metrics, interval: tuple[float, float], told: str) -> Iterator[Markup]:
    if interval[1] - interval[0] > WIDE:
        images = "image is" if metrics.images == 1 else "images are"
        yield Markup("{:,} {} {} few: its accuracy may be anything from {} to {}").format(
            metrics.images, told, images, *map(percent, interval)
        )
    if beside_majority(metrics) == "no better":
        return
    if interval[0] <= metrics.majority[1]:
        yield Markup("By its accuracy alone it is not surely better than {}").format(_guessing(metrics))
    if HARDLY_BETTER <= share_taken(metrics) < NOT_MUCH_BETTER:
        yield Markup("It is not much better than {}").format(_guessing(metrics))


def _doubts_of_classes(
    metrics: Metrics, judged: dict[str, ClassMetrics], audit: AuditRecord
) -> Iterator[Markup]:
    never_found = set(_unfound(judged)) if _never_found_count(metrics, judged) else set()
    missed = sorted(
        (row.recall, label) for label, row in judged.items() if row.recall < 0.5 and label not in never_found
    )
    if missed:
        recall, label = missed[0]
        yield Markup("It misses most images of {} (it finds {}){}").format(
            named(label), percent(recall), _and_more(len(missed) - 1)
        )
    if unknown := audit.not_measured:
        nothing = "No test image is" if audit.tested_on else "Nothing is held out"
        yield Markup("{} of {}{}, so how well that is told is not known").format(
            nothing, named(unknown[0]), _and_more(len(unknown) - 1)
        )


def _doubts_of_its_probabilities(calibration: Calibration, target: float) -> Iterator[Markup]:
    if not calibration.kept:
        yield Markup(
            "However sure it is, it is not right {:g}&nbsp;% of the time: it cannot say when to abstain"
        ).format(100 * target)
    if calibration.ece_after > MISCALIBRATED:
        yield Markup("Its probabilities are off by {} on average").format(percent(calibration.ece_after))


def _doubts_of_the_data(audit: AuditRecord) -> Iterator[Markup]:
    if (
        audit.groups
        and (groups := audit.groups.groups["test" if audit.tested_on else "heldout"]) < FEW_GROUPS
    ):
        yield Markup("Its {} images are of {} {} only, and others may be unlike them").format(
            audit.told, groups, "group" if groups == 1 else "groups"
        )
    if conflicts := len(audit.conflicts) + len(audit.near_conflicts):
        stand = "image stands" if conflicts == 1 else "images stand"
        yield Markup("The data contradict themselves: {:,} {} under two labels or more").format(
            conflicts, stand
        )


def _and_more(classes: int) -> str:
    if not classes:
        return ""
    return f" and {classes} more class" if classes == 1 else f" and {classes} more classes"
