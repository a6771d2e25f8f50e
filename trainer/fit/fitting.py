"""One training on its way: its optimizer, its checkpoints, and what is decided at the end of a cycle."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fovea.errors import DataInvalid
from fovea.stopping import Stopping
from trainer.fit.advice import advise, after_cycle
from trainer.fit.phases import Phase, Recipe
from trainer.fit.state import TrainingState, generators, set_generators
from trainer.history import EpochRecord, write_records
from trainer.network.checkpoint import Checkpoint, read_training
from trainer.network.model import Network, adamw
from trainer.network.precision import Precision
from trainer.progress import show_epoch

logger = logging.getLogger(__name__)


def begin(heldout_loss: float, recipe: Recipe) -> TrainingState:
    """Before the first step; `heldout_loss` (nats) is what the network starts from."""
    return TrainingState(
        first_loss=heldout_loss,
        best_loss=heldout_loss,
        epochs_before=recipe.epochs_before,
        kept_epoch=recipe.epochs_before,
    )


def resume(run: Path, network: Network, precision: Precision) -> TrainingState | None:
    """Puts weights and random generators back to where the training in `run` was broken off.

    None where there is no checkpoint. Raises DataInvalid when it is damaged or of another network.
    """
    saved = read_training(run)
    if saved is None:
        return None
    training = saved["training"]
    try:
        network.load_state_dict(saved["network"])
        state = TrainingState.from_saved(training["state"], training["optimizer"], training["scaler"])
        set_generators(training["generators"])
    except Exception as error:  # of a file that is no checkpoint of this run, everything may be wrong
        raise DataInvalid(f"{run}: its checkpoint does not fit this training") from error
    if not state.finished:
        at = f"epoch {state.epoch + 1}, after {len(state.step_losses)} steps of it"
        logger.info("going on with the run %s in %s", run.name, at)
        _compare(training["made_on"], _made_on(precision))
    return state


@dataclass
class Fitting:
    """What the phases of one run share."""

    checkpoint: Checkpoint
    recipe: Recipe
    precision: Precision
    stopping: Stopping
    folder: Path
    state: TrainingState
    _optimizer: torch.optim.Optimizer | None = None
    _scaler: torch.amp.GradScaler | None = None

    @property
    def network(self) -> Network:
        return self.checkpoint.network

    def optimize(self, phase: Phase) -> tuple[torch.optim.Optimizer, torch.amp.GradScaler]:
        """The phase's optimizer and scaler, as they were if the phase was broken off."""
        optimizer, scaler = adamw(self.network, phase.lowest_lr, phase.highest_lr), self.precision.scaler()
        if self.state.optimizer is not None:
            optimizer.load_state_dict(self.state.optimizer)
        if self.state.scaler:
            scaler.load_state_dict(self.state.scaler)
        with self.stopping.deferred():  # a signal before this saves what was loaded, after it what is here
            self._optimizer, self._scaler = optimizer, scaler
            self.state.optimizer, self.state.scaler = None, {}
        return optimizer, scaler

    def save(self) -> None:
        """Replaces checkpoint.pt; a signal waits until it is whole."""
        training = {
            "state": self.state.to_save(),
            "optimizer": self._optimizer.state_dict() if self._optimizer else self.state.optimizer,
            "scaler": self._scaler.state_dict() if self._scaler else self.state.scaler,
            "generators": generators(),
            "made_on": _made_on(self.precision),
        }
        epochs = self.state.kept_epoch if self.state.finished else self.state.epoch
        with self.stopping.deferred():
            self.checkpoint.at(epochs).save(self.folder, training)

    def end_epoch(self, record: EpochRecord, phase: Phase) -> None:
        """Takes the record of a whole epoch, decides at the end of a phase, and saves.

        Raises DataInvalid when a loss is not finite.
        """
        if not math.isfinite(record.train_loss + record.heldout_loss):
            raise DataInvalid(
                f"training diverged: the loss of epoch {record.epoch} is not finite; try an --lr "
                f"below {self.recipe.lr:.2g}"
            )
        show_epoch(record)
        self.state.add(record)
        if self.state.epochs_in_phase == phase.epochs:
            self._end_phase(phase, record)
        write_records(self.folder, self.state.records)
        self.save()

    def advice(self) -> str:
        """What to try next, when all is done."""
        state = self.state
        frozen = len(state.records) - sum(self.recipe.cycles[: len(state.decisions)])
        before = state.records[frozen - 1].heldout_loss if frozen else state.first_loss
        return advise(
            state.records[frozen:],
            before,
            self.folder.name,
            stopped_improving=len(state.decisions) > 1 and not state.improved,
            continued=self.recipe.epochs_before > 0,
            annealed=self.recipe.schedule != "constant",
        )

    def _end_phase(self, phase: Phase, record: EpochRecord) -> None:
        self._optimizer = self._scaler = None
        self.state.end_phase()
        if phase.frozen:
            self.state.best_loss = record.heldout_loss
        else:
            self._end_cycle(record, phase.epochs)

    def _end_cycle(self, record: EpochRecord, epochs: int) -> None:
        """Another cycle is run, from these weights, while the held-out loss falls below the best so far.

        The first cycle may end above it and is followed all the same: from random weights, the statistics of
        batch norm lag behind one short epoch.
        """
        state, number, loss = self.state, len(self.state.decisions), record.heldout_loss
        upcoming = next(iter(self.recipe.cycles[number + 1 :]), None)
        state.improved = loss < state.best_loss
        goes_on = upcoming is not None and (state.improved or number == 0)
        state.decisions.append(
            after_cycle(state.best_loss, loss, record.heldout_error, epochs, upcoming, goes_on=goes_on)
        )
        logger.info(state.decisions[-1])
        if number == 0 or loss < state.kept_loss:
            state.keep(self.network, loss)
        state.best_loss = min(state.best_loss, loss)
        if not goes_on:
            state.finish(self.network)


def _made_on(precision: Precision) -> dict[str, Any]:
    """What equal weights after equal steps depend on, beside the state."""
    return {
        "device": precision.device.type,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def _compare(before: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [f"{name} {before[name]}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        logger.warning("the run was begun with %s: its end may differ in the last bits", "; ".join(changed))
