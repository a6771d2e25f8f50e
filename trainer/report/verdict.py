"""Should it be shipped? What the figures say to somebody who has to decide."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from markupsafe import Markup

from fovea.bundle import ClassMetrics, Metrics
from trainer.calibration import Calibration
from trainer.markup import named, percent
from trainer.metrics import accuracy_interval

WIDE: Final = 0.1
"""A 95 % interval of the accuracy that is wider than this says little."""
JUDGED: Final = 5
"""A class with fewer held-out images is not judged by itself."""
MISCALIBRATED: Final = 0.05

Word = Literal["Fit to ship", "Fit to ship, with care", "Not fit to ship"]


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
    """of the classes with five held-out images or more"""
    against: tuple[Markup, ...]
    """sentences without their full stop"""

    @property
    def kind(self) -> str:
        """For the page's colours."""
        return {"Fit to ship": "good", "Not fit to ship": "bad"}.get(self.word, "care")


def judge(metrics: Metrics, calibration: Calibration, audit: dict[str, Any], target: float) -> Verdict:
    """`metrics` are the gate's; `audit` is audit.json; `target` is what kept answers were to reach."""
    interval = accuracy_interval(round(metrics.accuracy * metrics.images), metrics.images)
    judged = {label: row for label, row in metrics.per_class.items() if row.images >= JUDGED}
    label = min(judged, key=lambda name: judged[name].recall, default=None)
    weakest = Weakest(label, judged[label].recall, judged[label].images) if label is not None else None
    unfit = tuple(_unfit(metrics, interval))
    doubts = tuple(_doubts(metrics, interval, judged, calibration, audit, target))
    word: Word = "Not fit to ship" if unfit else "Fit to ship, with care" if doubts else "Fit to ship"
    return Verdict(word, interval, weakest, unfit + doubts)


def _unfit(metrics: Metrics, interval: tuple[float, float]) -> Iterator[Markup]:
    label, row = max(metrics.per_class.items(), key=lambda entry: entry[1].images)
    guessing = row.images / metrics.images
    if interval[0] <= guessing:
        yield Markup(
            "It is not surely better than always answering {}, which is right for {} of these images"
        ).format(named(label), percent(guessing))


def _doubts(
    metrics: Metrics,
    interval: tuple[float, float],
    judged: dict[str, ClassMetrics],
    calibration: Calibration,
    audit: dict[str, Any],
    target: float,
) -> Iterator[Markup]:
    if interval[1] - interval[0] > WIDE:
        yield Markup("{:,} held-out {} few: its accuracy may be anything from {} to {}").format(
            metrics.images, "image is" if metrics.images == 1 else "images are", *map(percent, interval)
        )
    if missed := sorted((row.recall, label) for label, row in judged.items() if row.recall < 0.5):
        recall, label = missed[0]
        yield Markup("It misses most images of {} (it finds {}){}").format(
            named(label), percent(recall), _and_more(len(missed) - 1)
        )
    if unknown := audit["not_heldout"]:
        yield Markup("Nothing is held out of {}{}, so how well that is told is not known").format(
            named(unknown[0]), _and_more(len(unknown) - 1)
        )
    if not calibration.kept:
        yield Markup(
            "However sure it is, it is not right {:g}&nbsp;% of the time: it cannot say when to abstain"
        ).format(100 * target)
    if calibration.ece_after > MISCALIBRATED:
        yield Markup("Its probabilities are off by {} on average").format(percent(calibration.ece_after))
    if conflicts := len(audit["conflicts"]):
        stand = "image stands" if conflicts == 1 else "images stand"
        yield Markup("The data contradict themselves: {:,} {} under two labels or more").format(
            conflicts, stand
        )


def _and_more(classes: int) -> str:
    if not classes:
        return ""
    return f" and {classes} more class" if classes == 1 else f" and {classes} more classes"
