"""What training leaves to be read: a record an epoch with its steps, and how it went."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel

from fovea.stores.storage import LocalFolder

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, counted from 1. Losses are mean negative log likelihoods in nats."""

    epoch: int
    train_loss: float
    heldout_loss: float
    heldout_accuracy: float
    """of several labels an image, the share of images whose labels are exactly those from 0.5 on:
    thresholds are chosen only after the last epoch"""
    train_s: float
    """of its steps alone"""
    seconds: float
    """with the held-out images"""
    step_losses: list[float]
    step_lrs: list[float]
    """of the head, whose rate is the highest"""
    heldout_error: float = 0.0
    """standard error of the held-out loss, in nats; 0 in records of older versions"""
    heldout_map: float | None = None
    """mean average precision, of several labels an image; not written where it is none"""

    def brief(self) -> dict[str, float]:
        """Without the steps, rounded for reading."""
        told = {} if self.heldout_map is None else {"heldout_map": round(self.heldout_map, 4)}
        return {
            "epoch": self.epoch,
            "train_loss": round(self.train_loss, 4),
            "heldout_loss": round(self.heldout_loss, 4),
            "heldout_accuracy": round(self.heldout_accuracy, 4),
            **told,
            "seconds": round(self.seconds, 1),
        }


class FitRecord(BaseModel, frozen=True):
    """fit.json: how training went."""

    epochs: int
    """that were trained"""
    decisions: list[str]
    """after each cycle, why more epochs were run, or none"""
    kept_epoch: int
    """whose weights the network has now"""
    advice: str


def write_records(run: Path, records: list[EpochRecord]) -> None:
    """`run`/metrics.jsonl, a line an epoch; whole or not at all."""
    lines = [json.dumps(_as_written(record)) + "\n" for record in records]
    LocalFolder(run).write(METRICS_FILE, "".join(lines).encode())


def _as_written(record: EpochRecord) -> dict[str, object]:
    fields = asdict(record)
    if record.heldout_map is None:
        del fields["heldout_map"]
    return fields


def read_records(run: Path) -> list[EpochRecord]:
    path = run / METRICS_FILE
    lines = path.read_text().splitlines() if path.is_file() else []
    return [EpochRecord(**json.loads(line)) for line in lines]
