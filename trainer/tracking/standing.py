"""Where a training stands: all that is told of it, each time from its beginning on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from trainer.runs.history import EpochRecord

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
"""MLflow's words."""


def figures(record: EpochRecord) -> dict[str, float]:
    """What is told of an epoch, by the names of metrics.jsonl."""
    return {
        "train_loss": record.train_loss,
        "heldout_loss": record.heldout_loss,
        "heldout_error": record.heldout_error,
        "heldout_accuracy": record.heldout_accuracy,
        **({} if record.heldout_map is None else {"heldout_map": record.heldout_map}),
        "highest_lr": max(record.step_lrs, default=0.0),
        "train_s": record.train_s,
        "seconds": record.seconds,
    }


@dataclass(frozen=True)
class Chosen:
    """The learning rate, and the curve that it was read off, a point a step; none where it was given."""

    lr: float
    why: str
    confidence: str
    curve_lrs: tuple[float, ...] = ()
    curve_losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The model at the release, published or not."""

    uri: str
    version: str | None
    """None of one that is not published"""
    digest: str | None
    """sha256 of its ONNX file; None of a release by an older version"""
    metrics: dict[str, float]
    refusal: str | None
    """why it is not published"""


@dataclass(frozen=True)
class Standing:
    """Trackers are told the whole of it, so that what one missed reaches it with the next."""

    run: str
    """its id"""
    model: str
    """its name"""
    key: str
    """of this training in all processes that it takes"""
    recipe: dict[str, str]
    chosen: Chosen | None = None
    epochs: tuple[EpochRecord, ...] = ()
    outcome: Outcome | None = None
    files: tuple[Path, ...] = ()
    """to be kept with it"""
    status: Status = "RUNNING"


class Tracker(Protocol):
    """Somebody who is told how a training goes."""

    place: str
    """for the log: which one, and where it is"""

    def tell(self, standing: Standing) -> None:
        """Brings up to date what it knows: nothing is told twice, also not to what an earlier process of this
        training told. May raise anything, and be called again with the next standing."""
