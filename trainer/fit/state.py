"""Where a training stands: all that a later process needs to go on as if nothing had happened."""

import logging
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from trainer.evaluate.prediction import Score
from trainer.fit.averaging import averaged, network_of
from trainer.fit.early_stopping import PhaseDecision
from trainer.fit.made_on import MadeOn, made_on
from trainer.network.checkpoint import Checkpoint, Weights
from trainer.network.model import Network, lay_out_as_weights
from trainer.network.precision import Precision
from trainer.network.snapshot import GeneratorStates, generator_states
from trainer.ranks.group import Ranks
from trainer.runs.history import EpochRecord

logger = logging.getLogger(__name__)

TorchState = dict[str, Any]
"""What an optimizer, a scaler or an average of torch makes of its own state."""


class SavedTraining(TypedDict):
    """What a checkpoint says of how to go on."""

    state: dict[str, Any]
    """a TrainingState's fields but for NOT_PROGRESS; the epochs' records are dicts in it"""
    optimizer: TorchState | None
    scaler: TorchState
    generators: GeneratorStates
    made_on: MadeOn
    average: NotRequired[TorchState]
    """of the weights, where one is made and until the training is finished"""


@dataclass
class TrainingState:
    """What the loop changes as it goes, but for the weights that are being trained."""

    first_loss: float
    """held-out loss before the first step, in nats"""
    best_loss: float
    """lowest held-out loss at the end of a phase, or before the first cycle"""
    epochs_before: int
    """epochs behind the weights that this run began with"""
    kept_epoch: int
    """the epoch whose weights are the best of all cycles' ends"""
    kept_loss: float = math.inf
    kept_weights: Weights = field(default_factory=dict)
    phase: int = 0
    """number of the phase that is under way, from 0"""
    epochs_in_phase: int = 0
    """epochs of it that are done"""
    step_losses: list[Tensor | float] = field(default_factory=list)
    """of the epoch that is under way; on the device until they are read"""
    step_lrs: list[float] = field(default_factory=list)
    train_s: float = 0.0
    records: list[EpochRecord] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    """a sentence after each cycle"""
    improved: bool = True
    """whether the last cycle ended below the best loss before it"""
    finished: bool = False
    optimizer: torch.optim.Optimizer | None = None
    """of the phase that is under way"""
    scaler: torch.amp.GradScaler | None = None
    resumed_optimizer: TorchState | None = None
    """of a phase that was broken off, until it goes on"""
    resumed_scaler: TorchState = field(default_factory=dict)
    average: AveragedModel | None = None
    """of the weights, where one is made"""
    resumed_average: TorchState = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """Epochs behind the network's weights."""
        return self.epochs_before + len(self.records)

    def attach(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """Those of the phase, put back to where they were if it was broken off."""
        if self.resumed_optimizer is not None:
            optimizer.load_state_dict(self.resumed_optimizer)
            lay_out_as_weights(optimizer)
        if self.resumed_scaler:
            scaler.load_state_dict(self.resumed_scaler)
        # In this order: `save` at a signal before it takes what was resumed, after it what is here.
        self.optimizer, self.scaler = optimizer, scaler
        self.resumed_optimizer, self.resumed_scaler = None, {}

    def follow(self, network: Network, decay: float | None) -> None:
        """Averages the network's weights from here on, or on from where they were; None makes no average."""
        if decay is None:
            return
        average = averaged(network, decay)
        if self.resumed_average:
            average.load_state_dict(self.resumed_average)
        self.average, self.resumed_average = average, {}

    def judged(self, network: Network) -> Network:
        """What is scored, and kept of a cycle: the average of the network's weights where one is made."""
        return network if self.average is None else network_of(self.average)

    def end_step(self, network: Network, loss: Tensor, lr: float, train_s: float) -> None:
        """`lr` is the head's, `train_s` of the epoch's steps so far.

        On a CUDA device the loss stays until the epoch's end: to read it would wait for the device. On a CPU
        it must not stay as a tensor: its few bytes, kept amid the batch's freed memory, leave a gap that the
        next batch does not fit into, and memory grows by a batch a step.
        """
        if self.average is not None:
            self.average.update_parameters(network)
        self.step_losses.append(loss.item() if loss.device.type == "cpu" else loss.detach())
        self.step_lrs.append(lr)
        self.train_s = train_s

    def end_steps(self, started: float) -> None:
        """All of the epoch's are taken, which began at `started`. Waits for the device."""
        self.step_losses = [*_read(self.step_losses)]
        self.train_s = time.monotonic() - started

    def end_epoch(self, heldout: Score, seconds: float) -> EpochRecord:
        """`seconds` is what the epoch took with the held-out images."""
        losses = _read(self.step_losses)
        record = EpochRecord(
            epoch=self.epoch + 1,
            train_loss=sum(losses) / len(losses),
            heldout_loss=heldout.loss,
            heldout_accuracy=heldout.accuracy,
            train_s=self.train_s,
            seconds=seconds,
            step_losses=losses,
            step_lrs=self.step_lrs,
            heldout_error=heldout.error,
            heldout_map=heldout.map,
        )
        self.records.append(record)
        self.epochs_in_phase += 1
        self.step_losses, self.step_lrs, self.train_s = [], [], 0.0
        return record

    def end_phase(self, decision: PhaseDecision, network: Network) -> None:
        """The network that goes no further gets the best weights."""
        self.phase, self.epochs_in_phase = self.phase + 1, 0
        self.optimizer = self.scaler = None
        self.best_loss, self.improved = decision.best_loss, decision.improved
        if decision.reason:
            logger.info("%s", decision.reason)
            self.decisions.append(decision.reason)
        if decision.is_lowest:
            self.kept_epoch, self.kept_loss = self.epoch, self.records[-1].heldout_loss
            self.kept_weights = {
                name: value.clone() for name, value in self.judged(network).state_dict().items()
            }
        if not decision.goes_on:
            network.load_state_dict(self.kept_weights)
            self.kept_weights, self.average, self.finished = {}, None, True

    def save(self, run: Path, checkpoint: Checkpoint, precision: Precision, ranks: Ranks) -> None:
        """Replaces checkpoint.pt, whole or not at all: the first rank does, for all are alike.

        Waits for the device. Raises Unavailable.
        """
        if not ranks.is_first:
            return
        progress = {name: value for name, value in vars(self).items() if name not in NOT_PROGRESS}
        progress["records"] = [asdict(record) for record in self.records]
        progress["step_losses"] = _read(self.step_losses)
        training: SavedTraining = {
            "state": progress,
            "optimizer": self.optimizer.state_dict() if self.optimizer else self.resumed_optimizer,
            "scaler": self.scaler.state_dict() if self.scaler else self.resumed_scaler,
            "generators": generator_states(),
            "made_on": made_on(precision, ranks),
        }
        if average := self.average.state_dict() if self.average else self.resumed_average:
            training["average"] = average
        at = checkpoint.at(self.kept_epoch if self.finished else self.epoch)
        at.save(run, training, after_epoch=bool(self.records and self.step_losses))


NOT_PROGRESS: Final = {
    *("optimizer", "scaler", "average"),
    *("resumed_optimizer", "resumed_scaler", "resumed_average"),
}
"""Which are saved beside the rest."""


def begin(heldout_loss: float, epochs_before: int) -> TrainingState:
    """Before the first step; `heldout_loss` (nats) is what the network starts from."""
    return TrainingState(heldout_loss, heldout_loss, epochs_before, kept_epoch=epochs_before)


def _read(losses: list[Tensor | float]) -> list[float]:
    """As numbers; those on a device come over in one copy, for each copy waits for the device."""
    read = [loss for loss in losses if isinstance(loss, float)]
    waiting = [loss for loss in losses if isinstance(loss, Tensor)]
    return [*read, *(torch.stack(waiting).tolist() if waiting else [])]
