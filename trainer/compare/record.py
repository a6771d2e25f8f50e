"""compare.json: two models over the same images, for machines. `docs/compare.schema.json` is its schema.

`python -m trainer.compare.record` prints that.
"""

from dataclasses import dataclass, fields
from typing import Literal

from pydantic import BaseModel, Field

from fovea.settings import SavedSettings, as_saved
from trainer.compare.comparison import Classes, Comparison, Kind
from trainer.compare.paired import Paired
from trainer.compare.replay import Replay
from trainer.compare.unlabelled import Unlabelled
from trainer.config import CompareSettings
from trainer.evaluate.evaluation import EvaluatedModel
from trainer.evaluate.latency import Latency
from trainer.images.audit import BadFile


class ClassRow(BaseModel, frozen=True):
    label: str
    guarded: bool
    paired: Paired
    """its recall"""
    new_precision: float
    old_precision: float


class ModelSide(BaseModel, frozen=True):
    """What was measured of one of the two."""

    model: EvaluatedModel
    accuracy: float
    loss: float
    """mean negative log likelihood, in nats"""
    ece: float
    """expected calibration error over 15 bins, in [0, 1]"""
    macro_recall: float
    abstained: int
    """images below its abstain threshold"""
    speed: Latency

    @property
    def title(self) -> str:
        """A candidate has no number yet."""
        number = f"version {self.model.version}" if self.model.version else "candidate"
        return f"{self.model.name} {number}"


class ChangedAnswer(BaseModel, frozen=True):
    path: str
    truth: str
    kind: Kind
    old: str
    old_probability: float
    new: str
    new_probability: float


class ComparisonRecord(BaseModel, frozen=True):
    """compare.json."""

    format: Literal[1] = 1
    settings: SavedSettings
    new: ModelSide
    old: ModelSide
    worse: tuple[str, ...] = Field(description="why the new model is worse; empty where it is not")
    paired: Paired
    """of all images"""
    classes: list[ClassRow]
    """those that both models have and there are images of; the most worsened first"""
    only_new: tuple[str, ...]
    """classes that the old model lacks"""
    only_old: tuple[str, ...]
    images_of_other_classes: dict[str, int]
    """images that are not compared, by their class, which one of the models lacks"""
    unreadable: list[BadFile]
    """which neither model is asked about"""
    changed: list[ChangedAnswer]
    """every one: broken, fixed, both wrong"""
    machine: str
    """what the speeds were measured on"""
    unlabelled: Unlabelled | None = None
    """captured images that nobody gave a label; null where there are none"""


@dataclass(frozen=True)
class Measured:
    """What beside the comparison is in the record."""

    new: EvaluatedModel
    old: EvaluatedModel
    new_speed: Latency
    old_speed: Latency
    machine: str
    images_of_other_classes: dict[str, int]
    unlabelled: Unlabelled | None = None


def record_of(
    settings: CompareSettings, classes: Classes, answers: Replay, found: Comparison, measured: Measured
) -> ComparisonRecord:
    return ComparisonRecord(
        settings=as_saved(settings),
        new=_side(found, measured, "new"),
        old=_side(found, measured, "old"),
        worse=found.worse,
        paired=found.overall,
        classes=_rows(found, settings.guard_class),
        only_new=classes.only_new,
        only_old=classes.only_old,
        images_of_other_classes=measured.images_of_other_classes,
        unreadable=answers.bad,
        changed=[
            ChangedAnswer(
                path=str(answers.samples[change.place]),
                truth=answers.samples[change.place].label,
                **{
                    field.name: getattr(change, field.name)
                    for field in fields(change)
                    if field.name != "place"
                },
            )
            for change in found.changes
        ],
        machine=measured.machine,
        unlabelled=measured.unlabelled,
    )


def _side(found: Comparison, measured: Measured, which: Literal["new", "old"]) -> ModelSide:
    metrics = found.new if which == "new" else found.old
    return ModelSide(
        model=measured.new if which == "new" else measured.old,
        accuracy=metrics.accuracy,
        loss=metrics.loss,
        ece=metrics.ece,
        macro_recall=metrics.macro_recall,
        abstained=metrics.abstained or 0,
        speed=measured.new_speed if which == "new" else measured.old_speed,
    )


def _rows(found: Comparison, guards: tuple[str, ...]) -> list[ClassRow]:
    rows = [
        ClassRow(
            label=label,
            guarded=label in guards,
            paired=row,
            new_precision=found.new.per_class[label].precision,
            old_precision=found.old.per_class[label].precision,
        )
        for label, row in found.by_class.items()
    ]
    return sorted(rows, key=lambda row: (row.paired.difference, row.label))
