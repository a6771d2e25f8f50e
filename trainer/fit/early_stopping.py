"""When a training ends: where a loss is not finite, or after a cycle that did not lower the held-out loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fovea.errors import DataInvalid
from trainer.fit.advice import describe_cycle
from trainer.fit.recipe import Phase
from trainer.runs.history import EpochRecord


@dataclass(frozen=True)
class PhaseDecision:
    """What follows the end of a phase."""

    goes_on: bool
    """whether the next phase is run"""
    best_loss: float
    """which the next cycle has to end below, in nats"""
    improved: bool = True
    """whether the held-out loss ended below the best before"""
    is_lowest: bool = False
    """whether it is the lowest of all cycles' ends, whose weights the network ends with"""
    reason: str = ""
    """in words, after a cycle"""


def after_phase(
    phase: Phase, upcoming: Sequence[Phase], last: EpochRecord, best_loss: float, kept_loss: float
) -> PhaseDecision:
    """Another cycle is run, from these weights, while the held-out loss falls below the best so far.

    The first cycle may end above it and is followed all the same: from random weights, the statistics of
    batch norm lag behind one short epoch. A frozen phase is no cycle: its loss is what the first cycle has to
    fall below. `last` is the phase's last epoch; before it, `best_loss` was the lowest, and `kept_loss` the
    lowest at a cycle's end, infinite where there was none.
    """
    loss = last.heldout_loss
    if phase.frozen:
        return PhaseDecision(goes_on=True, best_loss=loss)
    next_epochs = upcoming[0].epochs if upcoming else None
    improved, is_first = loss < best_loss, math.isinf(kept_loss)
    goes_on = bool(upcoming) and (improved or is_first)
    reason = describe_cycle(best_loss, loss, last.heldout_error, phase.epochs, next_epochs, goes_on=goes_on)
    return PhaseDecision(goes_on, min(best_loss, loss), improved, loss < kept_loss, reason)


def check_finite(record: EpochRecord, lr: float) -> None:
    """Raises DataInvalid where a loss of the epoch is not; `lr` is the recipe's."""
    if not math.isfinite(record.train_loss + record.heldout_loss):
        raise DataInvalid(
            f"training diverged: the loss of epoch {record.epoch} is not finite; try an --lr below {lr:.2g}"
        )
