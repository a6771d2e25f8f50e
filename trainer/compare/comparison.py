"""Two models' answers to the same images, compared: overall, by class, one by one."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fovea.errors import DataInvalid, SettingsInvalid
from fovea.model.bundle import BundleContract
from fovea.model.measured import Metrics
from trainer.compare.paired import Paired, Right, paired
from trainer.compare.replay import Replay
from trainer.evaluate.metrics import Logits, Targets, measure
from trainer.images.sources import Sample

Kind = Literal["broken", "fixed", "both wrong"]
KINDS: tuple[Kind, ...] = ("broken", "fixed", "both wrong")
"""As the page lists them."""


@dataclass(frozen=True)
class Classes:
    """Of two models."""

    common: tuple[str, ...]
    only_new: tuple[str, ...]
    only_old: tuple[str, ...]

    @classmethod
    def of(cls, new: BundleContract, old: BundleContract) -> "Classes":
        """Raises DataInvalid where they have none in common, or one is multi-label."""
        if "multi" in (new.task, old.task):
            raise DataInvalid(
                "a multi-label model cannot be compared with another yet: `python -m trainer evaluate` each "
                "on the same images"
            )
        common = tuple(label for label in new.labels if label in set(old.labels))
        if not common:
            raise DataInvalid(
                f"the models have no class in common: {new.labels[0]!r}, ... and {old.labels[0]!r}, ..."
            )
        only_new, only_old = (
            tuple(label for label in each.labels if label not in set(common)) for each in (new, old)
        )
        return cls(common, only_new, only_old)

    def check_guards(self, guards: Sequence[str]) -> None:
        """Raises SettingsInvalid for a class that neither model has."""
        known = {*self.common, *self.only_new, *self.only_old}
        if unknown := [guard for guard in guards if guard not in known]:
            shown = ", ".join(sorted(known)[:10])
            raise SettingsInvalid(
                f"--guard-class: neither model has a class {unknown[0]!r} (there are {shown})"
            )

    def divide(self, samples: Sequence[Sample]) -> tuple[list[Sample], dict[str, int]]:
        """The images of classes that both models have, and how many there are of each other class.

        Raises DataInvalid where none is left.
        """
        common = set(self.common)
        kept = [sample for sample in samples if sample.label in common]
        others = Counter(sample.label for sample in samples if sample.label not in common)
        if not kept:
            of = ", ".join(sorted(others)[:5])
            raise DataInvalid(f"no image is of a class that both models have; there are images of {of}")
        return kept, dict(sorted(others.items()))


@dataclass(frozen=True)
class Change:
    """An image that the two models answer differently."""

    place: int
    """among the samples"""
    kind: Kind
    old: str
    old_probability: float
    """of what it answered"""
    new: str
    new_probability: float


@dataclass(frozen=True)
class Comparison:
    """Over the images of classes that both models have; an answer may be another class of the model's own."""

    overall: Paired
    by_class: dict[str, Paired]
    """of those with images"""
    changes: list[Change]
    """broken first, then fixed, then wrong before and after; in each, the surest new answers first"""
    new: Metrics
    old: Metrics
    worse: tuple[str, ...]
    """why the new model is worse; none where it is not"""


def compare_answers(
    answers: Replay, new: BundleContract, old: BundleContract, guards: Sequence[str], confidence: float
) -> Comparison:
    """Raises SettingsInvalid for a guarded class that neither model has."""
    classes = Classes.of(new, old)
    classes.check_guards(guards)
    truth = [sample.label for sample in answers.samples]
    new_right, old_right = _right(truth, answers.new, new.labels), _right(truth, answers.old, old.labels)
    overall = paired(new_right, old_right, confidence)
    by_class = dict(_by_class(truth, new_right, old_right, classes.common, confidence))
    return Comparison(
        overall=overall,
        by_class=by_class,
        changes=_changes(answers, new, old, new_right, old_right),
        new=_measure(truth, answers.new, new),
        old=_measure(truth, answers.old, old),
        worse=tuple(_why_worse(overall, by_class, classes, guards)),
    )


def _right(truth: list[str], probabilities: Logits, labels: tuple[str, ...]) -> Right:
    said = _said(probabilities, labels)
    return np.array([answer == label for answer, label in zip(said, truth, strict=True)], np.bool_)


def _said(probabilities: Logits, labels: tuple[str, ...]) -> list[str]:
    return [labels[best] for best in probabilities.argmax(1).tolist()]


def _by_class(
    truth: list[str], new: Right, old: Right, labels: tuple[str, ...], confidence: float
) -> Iterator[tuple[str, Paired]]:
    places: dict[str, list[int]] = {label: [] for label in labels}
    for place, label in enumerate(truth):
        places[label].append(place)
    for label, where in places.items():
        if where:
            yield label, paired(new[where], old[where], confidence)


def _measure(truth: list[str], probabilities: Logits, contract: BundleContract) -> Metrics:
    index = {label: number for number, label in enumerate(contract.labels)}
    targets: Targets = np.array([index[label] for label in truth], np.int64)
    return measure(probabilities, targets, contract.labels, contract.abstain_threshold)


def _why_worse(
    overall: Paired, by_class: dict[str, Paired], classes: Classes, guards: Sequence[str]
) -> Iterator[str]:
    if overall.is_worse:
        yield f"its accuracy is worse: {in_words(overall)}"
    for guard in guards:
        if guard in classes.only_old:
            yield f"it lacks the guarded class {guard!r}"
        elif guard in classes.common and guard not in by_class:
            yield f"there is no image of the guarded class {guard!r} to tell by"
        elif guard in by_class and by_class[guard].is_worse:
            yield f"its recall of {guard!r} is worse: {in_words(by_class[guard])}"


def in_words(found: Paired) -> str:
    """Without a unit for the images: `94.00 % to 91.20 % of 500, by -2.8 points (...)`."""
    low, high = (100 * end for end in found.interval)
    old, new = found.old_right / found.images, found.new_right / found.images
    return (
        f"{old:.2%} to {new:.2%} of {found.images} images, by {100 * found.difference:+.2f} points "
        f"({100 * found.confidence:g} % confidence interval {low:+.2f} to {high:+.2f}); "
        f"{found.fixed} fixed, {found.broken} broken"
    )


def _changes(
    answers: Replay, new: BundleContract, old: BundleContract, new_right: Right, old_right: Right
) -> list[Change]:
    new_said, old_said = _said(answers.new, new.labels), _said(answers.old, old.labels)
    found = [
        Change(
            place=place,
            kind="broken" if old_right[place] else "fixed" if new_right[place] else "both wrong",
            old=old_said[place],
            old_probability=float(answers.old[place].max()),
            new=new_said[place],
            new_probability=float(answers.new[place].max()),
        )
        for place in range(len(new_said))
        if new_said[place] != old_said[place]
    ]
    return sorted(found, key=lambda change: (KINDS.index(change.kind), -change.new_probability, change.place))
