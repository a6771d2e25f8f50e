"""evaluation.json: how a released model did on some images."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from fovea.model.measured import Metrics
from fovea.settings import SavedSettings, as_saved
from trainer.config import EvaluateSettings
from trainer.evaluate.beside_release import BesideRelease, Change
from trainer.evaluate.evaluation import EvaluatedModel, Evaluation, KeptImages, Misclassification
from trainer.evaluate.metrics import Bin, Majority, Pair
from trainer.images.audit import BadFile, NotTakenRecord
from trainer.images.captured import CapturesRecord
from trainer.images.corrections import CorrectionsRecord
from trainer.images.sources import Heldout


@dataclass(frozen=True)
class ChangeRecord:
    released: float
    found: float
    interval: tuple[float, float]
    """95 % confidence interval of found - released"""
    beyond_chance: bool


@dataclass(frozen=True)
class BesideReleaseRecord:
    accuracy: ChangeRecord | None
    abstained: ChangeRecord | None
    words: list[str]
    """what a person is told"""


@dataclass(frozen=True)
class ConfusionCell:
    """Images of a class that were answered by a class, the same or another."""

    truth: str
    predicted: str
    images: int


class EvaluationRecord(BaseModel, frozen=True):
    settings: SavedSettings
    model: EvaluatedModel
    metrics: Metrics
    right: int
    accuracy_interval_95: tuple[float, float]
    macro_recall: float
    majority: Majority
    beside_release: BesideReleaseRecord
    labels: tuple[str, ...]
    confusion: list[ConfusionCell]
    """those that hold an image"""
    most_confused: list[Pair]
    reliability: list[Bin]
    kept: KeptImages
    worst: list[Misclassification]
    quarantined: tuple[BadFile, ...]
    not_taken: dict[str, NotTakenRecord]
    corrections: CorrectionsRecord | None = None
    """of the images' labels"""
    captures: CapturesRecord | None = None
    """captured images among them, where there are some"""


def record_of(evaluation: Evaluation, settings: EvaluateSettings, held: Heldout) -> EvaluationRecord:
    label, share = evaluation.metrics.majority
    return EvaluationRecord(
        settings=as_saved(settings),
        model=evaluation.model,
        metrics=evaluation.metrics,
        right=evaluation.right,
        accuracy_interval_95=evaluation.interval,
        macro_recall=evaluation.metrics.macro_recall,
        majority=Majority(label=label, accuracy=share),
        beside_release=_beside_release(evaluation.beside_release),
        labels=evaluation.labels,
        confusion=[*_cells(evaluation)],
        most_confused=evaluation.most_confused,
        reliability=evaluation.reliability,
        kept=evaluation.kept,
        worst=evaluation.worst,
        quarantined=evaluation.bad,
        not_taken={kind: NotTakenRecord(**files) for kind, files in held.passed_over.record().items()},
        corrections=held.corrections,
        captures=held.captures,
    )


def _beside_release(beside: BesideRelease) -> BesideReleaseRecord:
    return BesideReleaseRecord(_change(beside.accuracy), _change(beside.abstained), beside.words())


def _change(change: Change | None) -> ChangeRecord | None:
    if change is None:
        return None
    return ChangeRecord(change.released, change.found, change.interval, change.is_beyond_chance)


def _cells(evaluation: Evaluation) -> Iterator[ConfusionCell]:
    labels, counts = evaluation.labels, evaluation.confusion
    for row, column in zip(*counts.nonzero(), strict=True):
        yield ConfusionCell(labels[row], labels[column], int(counts[row, column]))
