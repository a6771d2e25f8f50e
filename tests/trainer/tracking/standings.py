"""What a training of some epochs tells, for the tests of those that it is told to."""

from dataclasses import replace
from typing import Any, Final

from trainer.runs.history import EpochRecord
from trainer.tracking.standing import Chosen, Outcome, Standing

STEPS: Final = 3
"""of an epoch"""
DIGEST: Final = "5d" * 32
BEGUN: Final = Standing("pets-1", "pets", "a-key", {"arch": "resnet18", "batch_size": "8"})
CHOSEN: Final = Chosen(0.003, "valley", "high", (1e-7, 1e-3, 10.0), (0.7, 0.6, 2.0))
REFUSED: Final = Outcome("runs/pets-1/candidate", None, DIGEST, {"released_accuracy": 0.5}, "it is bad")
PUBLISHED: Final = Outcome("s3://models/pets/3", "3", DIGEST, {"released_accuracy": 0.5}, None)


def record(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        train_loss=1 / epoch,
        heldout_loss=2 / epoch,
        heldout_accuracy=1 - 1 / (1 + epoch),
        train_s=0.5,
        seconds=0.75,
        step_losses=[epoch + step / 10 for step in range(STEPS)],
        step_lrs=[0.001 * epoch, 0.002 * epoch, 0.0],
        heldout_error=0.125,
    )


def after(epochs: int, **changes: Any) -> Standing:
    """Of the first epochs."""
    records = tuple(record(epoch) for epoch in range(1, epochs + 1))
    return replace(BEGUN, **{"chosen": CHOSEN, "epochs": records, **changes})
