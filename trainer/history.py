"""What training leaves to be read: a record an epoch, with its steps."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, counted from 1. Losses are mean negative log likelihoods in nats."""

    epoch: int
    train_loss: float
    heldout_loss: float
    heldout_accuracy: float
    seconds: float
    step_losses: list[float]
    step_lrs: list[float]
    """of the head, whose rate is the highest"""

    def brief(self) -> dict[str, float]:
        """Without the steps, rounded for reading."""
        return {
            "epoch": self.epoch,
            "train_loss": round(self.train_loss, 4),
            "heldout_loss": round(self.heldout_loss, 4),
            "heldout_accuracy": round(self.heldout_accuracy, 4),
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Fit:
    """How training went."""

    epochs: list[EpochRecord]
    decisions: list[str]
    """after each cycle, why more epochs were run, or none"""
    kept_epoch: int
    """whose weights the network has now"""
    advice: str


def append_record(run: Path, record: EpochRecord) -> None:
    """To `run`/metrics.jsonl, a line an epoch."""
    with (run / METRICS_FILE).open("a") as file:
        file.write(json.dumps(asdict(record)) + "\n")


def read_records(run: Path) -> list[EpochRecord]:
    path = run / METRICS_FILE
    lines = path.read_text().splitlines() if path.is_file() else []
    return [EpochRecord(**json.loads(line)) for line in lines]
