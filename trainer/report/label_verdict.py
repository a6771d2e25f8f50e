"""Should a multi-label model be shipped? As `verdict` is of one label an image."""

from collections.abc import Iterator, Mapping
from typing import Final

from markupsafe import Markup

from fovea.model.measured import LabelMetrics, LabelScore, Word
from fovea.model.task import NEVER_SELECTED
from fovea.pages import named
from trainer.evaluate.label_calibration import DEFAULT_THRESHOLD
from trainer.evaluate.label_chance import by_chance
from trainer.evaluate.metrics import accuracy_interval
from trainer.evaluate.task import Measured
from trainer.images.audit import AuditRecord
from trainer.pages.markup import percent
from trainer.report.verdict import (
    FEW_GROUPS,
    HARDLY_BETTER,
    JUDGED,
    MISCALIBRATED,
    NEVER_FOUND_CLASSES,
    NOT_MUCH_BETTER,
    Verdict,
    Weakest,
)

BY_CHANCE: Final = 0.05
"""Share of what guessing leaves that a model may take by chance."""
WIDE: Final = 0.3
"""A 95 % interval of a label's recall that is wider than this says little."""


def judge_labels(measured: Measured, audit: AuditRecord) -> Verdict:
    """`measured` is the gate's; `audit` is audit.json. Raises ValueError of one label an image."""
    scores, metrics = measured.label_metrics, measured.metrics
    if scores is None:
        raise ValueError("these figures are of one label an image")
    judged = {label: row for label, row in scores.per_label.items() if row.images >= JUDGED}
    label = min(judged, key=lambda name: judged[name].recall, default=None)
    weakest = Weakest(label, judged[label].recall, judged[label].images) if label is not None else None
    taken = share_taken_of_labels(scores, metrics.images)
    lucky = by_chance(_counts(scores), metrics.images)[1]
    no_better = taken <= BY_CHANCE or scores.map <= lucky
    unfit = (*_no_better(taken, no_better, scores, metrics.images), *_never_found(judged))
    doubts = (*_doubts_of_labels(taken, judged, audit), *_doubts_of_the_rest(measured, audit))
    word: Word = "Not fit to ship" if unfit else "Fit to ship, with care" if doubts else "Fit to ship"
    interval = accuracy_interval(metrics.right, metrics.images)
    return Verdict(word, interval, weakest, unfit + doubts, no_better, audit.told)


def guessed(scores: LabelMetrics, images: int) -> float:
    """Mean average precision of ranking images by chance, on average."""
    return by_chance(_counts(scores), images)[0]


def _counts(scores: LabelMetrics) -> tuple[int, ...]:
    return tuple(row.images for row in scores.per_label.values() if row.images)


def share_taken_of_labels(scores: LabelMetrics, images: int) -> float:
    """How much of what guessing leaves between its mean average precision and 1 the model takes."""
    chance = guessed(scores, images)
    return (scores.map - chance) / (1 - chance) if chance < 1 else 0.0


def _no_better(taken: float, no_better: bool, scores: LabelMetrics, images: int) -> Iterator[Markup]:
    if no_better or taken < HARDLY_BETTER:
        how = "not surely" if no_better else "hardly"
        chance, lucky = by_chance(_counts(scores), images)
        yield Markup(
            "It is {} better than chance, whose mean average precision is {}, and one time in 20 {} or more "
            "(the model's is {})"
        ).format(how, percent(chance), percent(lucky), percent(scores.map))


def _never_found(judged: Mapping[str, LabelScore]) -> Iterator[Markup]:
    """Labels that no image is given, though some have them: where they are not few among many."""
    unfound = sorted((n for n, row in judged.items() if not row.right), key=lambda n: -judged[n].images)
    if unfound and len(unfound) >= NEVER_FOUND_CLASSES * len(judged):
        yield Markup("It never finds {} (none of {:,} images){}").format(
            named(unfound[0]), judged[unfound[0]].images, _and_more(len(unfound) - 1)
        )


def _doubts_of_labels(taken: float, judged: Mapping[str, LabelScore], audit: AuditRecord) -> Iterator[Markup]:
    if HARDLY_BETTER <= taken < NOT_MUCH_BETTER:
        yield Markup("It is not much better than chance")
    missed = sorted((row.recall, label) for label, row in judged.items() if row.recall < 0.5)
    if missed:
        yield Markup("It misses most images with {} (it finds {}){}").format(
            named(missed[0][1]), percent(missed[0][0]), _and_more(len(missed) - 1)
        )
    false = sorted((row.precision, n) for n, row in judged.items() if row.selected and row.precision < 0.5)
    if false:
        yield Markup("Most images that it gives {} have it not (right are {}){}").format(
            named(false[0][1]), percent(false[0][0]), _and_more(len(false) - 1)
        )
    if unknown := audit.not_measured:
        nothing = "No test image has" if audit.tested_on else "No held-out image has"
        yield Markup("{} {}{}, so how well that is told is not known").format(
            nothing, named(unknown[0]), _and_more(len(unknown) - 1)
        )
    if audit.tested_on and (blind := audit.not_heldout):
        yield Markup("No held-out image has {}{}, so nothing chose the threshold of {}").format(
            named(blind[0]), _and_more(len(blind) - 1), f"{DEFAULT_THRESHOLD:g}"
        )


def _doubts_of_the_rest(measured: Measured, audit: AuditRecord) -> Iterator[Markup]:
    rows = measured.label_metrics.per_label if measured.label_metrics else {}
    never = [label for label, row in rows.items() if row.images and row.threshold >= NEVER_SELECTED]
    if never:
        yield Markup(
            "However sure it is of {}{}, it is not right as often as was asked for: it never selects it"
        ).format(named(never[0]), _and_more(len(never) - 1))
    wide = [n for n, row in rows.items() if row.recall_interval and _width(row.recall_interval) > WIDE]
    if wide:
        yield Markup("{:,} {} images have {}{}, too few to say how well it is found").format(
            rows[wide[0]].images, audit.told, named(wide[0]), _and_more(len(wide) - 1)
        )
    if measured.metrics.ece > MISCALIBRATED:
        yield Markup("Its probabilities are off by {} on average").format(percent(measured.metrics.ece))
    if audit.groups and (n := audit.groups.groups["test" if audit.tested_on else "heldout"]) < FEW_GROUPS:
        yield Markup("Its {} images are of {} {} only, and others may be unlike them").format(
            audit.told, n, "group" if n == 1 else "groups"
        )
    if conflicts := len(audit.conflicts) + len(audit.near_conflicts):
        yield Markup(
            "The data contradict themselves: {:,} of the same or nearly the same pictures have other labels"
        ).format(conflicts)


def _width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def _and_more(labels: int) -> str:
    if not labels:
        return ""
    return f" and {labels} more label" if labels == 1 else f" and {labels} more labels"
