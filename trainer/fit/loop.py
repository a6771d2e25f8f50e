"""The training loop. It can be ended at any step, and goes on from there as if nothing had happened."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from fovea.errors import Terminated
from fovea.stopping import Stopping, Torn
from trainer.evaluate.prediction import score
from trainer.fit.fitting import Fitting, begin, resume
from trainer.fit.phases import Phase, Recipe, phases, schedule_of
from trainer.fit.state import read_losses
from trainer.history import EpochRecord, Fit
from trainer.images.augment import augment
from trainer.images.batches import Batch, steps_per_epoch, training_batches
from trainer.images.data import DataSet
from trainer.network.checkpoint import Checkpoint
from trainer.network.model import freeze_backbone, unfreeze
from trainer.network.precision import Precision, descend
from trainer.progress import show_progress

logger = logging.getLogger(__name__)


def fit(
    checkpoint: Checkpoint, data: DataSet, recipe: Recipe, precision: Precision, stopping: Stopping, run: Path
) -> Fit:
    """Fine-tunes the checkpoint's network in place; it ends with the weights of the best cycle's end.

    A training that was broken off in `run` goes on after the last step that is in its checkpoint.pt. Each
    epoch writes metrics.jsonl and checkpoint.pt there. Raises Terminated (SIGTERM) and KeyboardInterrupt with
    the checkpoint saved, Torn without, DataInvalid when the loss is not finite.
    """
    state = resume(run, checkpoint.network, precision)
    if state is None:
        state = begin(score(checkpoint.network, data.heldout, recipe.batch_size).loss, recipe)
    fitting = Fitting(checkpoint, recipe, precision, stopping, run, state)
    try:
        while not state.finished:
            train(fitting, data, phases(recipe)[state.phase])
    except Torn:  # the last checkpoint is whole
        raise
    except (Terminated, KeyboardInterrupt):
        fitting.save()
        logger.info("saved: the same command with --run-id %s goes on from here", run.name)
        raise
    return Fit(state.records, state.decisions, state.kept_epoch, fitting.advice())


def train(fitting: "Fitting", data: DataSet, phase: Phase) -> None:
    """Runs a phase to its end, or what is left of it."""
    network, recipe, precision, state = fitting.network, fitting.recipe, fitting.precision, fitting.state
    (freeze_backbone if phase.frozen else unfreeze)(network)
    optimizer, scaler = fitting.optimize(phase)
    forward = torch.compile(network) if recipe.compile else network
    steps = steps_per_epoch(data.train, recipe.batch_size)
    rates = schedule_of(recipe, phase.epochs * steps)
    number = state.phase
    while state.phase == number:
        network.train()
        started = time.monotonic() - state.train_s
        for pixels, targets in _batches(fitting, data, steps):
            with fitting.stopping.deferred():
                step = state.epochs_in_phase * steps + len(state.step_losses)
                for group in optimizer.param_groups:
                    now = rates(step, group["max_lr"])
                    group["lr"], group["betas"] = now.lr, (now.momentum, group["betas"][1])
                with precision.autocast():
                    logits = forward(augment(pixels, recipe.augmentation))
                    loss = recipe.objective(logits, targets)
                descend(loss, optimizer, scaler, recipe.max_grad_norm)

                state.keep_loss(loss)
                state.step_lrs.append(optimizer.param_groups[-1]["lr"])
                state.train_s = time.monotonic() - started
                if (step + 1) % recipe.checkpoint_every == 0:
                    fitting.save()
        losses, state.train_s = read_losses(state.step_losses), time.monotonic() - started
        heldout = score(network, data.heldout, recipe.batch_size)
        record = EpochRecord(
            epoch=state.epoch + 1,
            train_loss=sum(losses) / steps,
            heldout_loss=heldout.loss,
            heldout_accuracy=heldout.accuracy,
            train_s=state.train_s,
            seconds=time.monotonic() - started,
            step_losses=losses,
            step_lrs=state.step_lrs,
            heldout_error=heldout.error,
        )
        with fitting.stopping.deferred():
            fitting.end_epoch(record, phase)


def _batches(fitting: "Fitting", data: DataSet, steps: int) -> Iterator[Batch]:
    """The rest of the epoch that is under way."""
    recipe, done, epoch = fitting.recipe, len(fitting.state.step_losses), fitting.state.epoch + 1
    batches = training_batches(
        data.train,
        recipe.batch_size,
        fitting.precision.device,
        seed=recipe.seed,
        epoch=epoch,
        first_step=done,
        sampler=recipe.sampler,
    )
    return show_progress(batches, f"epoch {epoch}", steps - done)
