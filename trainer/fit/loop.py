"""The training loop. It can be ended at any step, and goes on from there as if nothing had happened."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from fovea.errors import Terminated
from fovea.stopping import Stopping, Torn
from trainer.evaluate.prediction import score
from trainer.fit.advice import advise
from trainer.fit.early_stopping import after_phase, check_finite
from trainer.fit.going_on import resume
from trainer.fit.recipe import Recipe, phases, schedule_of
from trainer.fit.state import TrainingState, begin
from trainer.images.augment import augment
from trainer.images.batches import Batch, steps_per_epoch, training_batches
from trainer.images.data import DataSet
from trainer.images.mixing import mix
from trainer.network.checkpoint import Checkpoint
from trainer.network.gradients import add_gradients
from trainer.network.model import adamw, freeze_backbone, unfreeze
from trainer.network.precision import Precision, clip_gradients
from trainer.progress import show_epoch, show_progress
from trainer.ranks.group import ALONE, Part, Ranks
from trainer.runs.history import EpochRecord, FitRecord, write_records
from trainer.tracking.tracking import UNTRACKED, Tracking

logger = logging.getLogger(__name__)


def fit(
    checkpoint: Checkpoint,
    data: DataSet,
    recipe: Recipe,
    precision: Precision,
    stopping: Stopping,
    run: Path,
    tracking: Tracking = UNTRACKED,
    ranks: Ranks = ALONE,
    named_by: str | None = None,
) -> tuple[FitRecord, list[EpochRecord]]:
    """Fine-tunes the checkpoint's network in place; it ends with the weights of the best cycle's end.
    Gives a record of how it went, and one of each epoch.

    A training that was broken off in `run` goes on after the last step that is in its checkpoint.pt. Each
    epoch writes metrics.jsonl and checkpoint.pt there. Raises Terminated (SIGTERM) and KeyboardInterrupt with
    the checkpoint saved, Torn without, DataInvalid when the loss is not finite. Of several ranks, which end
    with equal weights and records, the first alone reads and writes in `run`. `named_by` is the option by
    which a later command finds what was saved, by default the run's.
    """
    network = checkpoint.network
    with ranks.agreeing(stopping) as agreed:
        state = resume(run, network, precision, ranks)
        if state is None:
            before = score(network, data.heldout, recipe.batch_size, ranks)
            state = begin(before.loss, recipe.epochs_before)
        try:
            if not state.finished:
                train(state, checkpoint, data, recipe, precision, agreed, run, tracking, ranks)
        except Torn:  # half a step may be done: the last checkpoint is whole
            raise
        except (Terminated, KeyboardInterrupt):
            with agreed.deferred():
                state.save(run, checkpoint, precision, ranks)
            ranks.meet()  # whoever leaves earlier ends the one that saves
            # Another rank may not know the run by its name, which the first one gives it.
            option = named_by or f"--run-id {run.name}"
            ranks.first_does(logger.info, "saved: the same command with %s goes on from here", option)
            raise
    advice = _advice(state, recipe, run.name)
    record = FitRecord(
        epochs=len(state.records), decisions=state.decisions, kept_epoch=state.kept_epoch, advice=advice
    )
    return record, state.records


def train(
    state: TrainingState,
    checkpoint: Checkpoint,
    data: DataSet,
    recipe: Recipe,
    precision: Precision,
    stopping: Stopping,
    run: Path,
    tracking: Tracking,
    ranks: Ranks,
) -> None:
    """From where `state` is to the end. What `stopping` defers is whole in the state, or not there."""
    network, steps = checkpoint.network, steps_per_epoch(data.train, recipe.images_per_step)
    planned = phases(recipe)

    def prepare(pixels: Tensor, targets: Tensor, part: Part) -> Batch:
        augmentation = recipe.augmentation_of(len(state.records))
        augmented = augment(pixels, augmentation, part.count, part.rows)
        with ranks.noise("mixing"):
            return mix(augmented, targets, recipe.mixing)

    state.follow(network, recipe.ema)
    for phase in planned[state.phase :]:
        (freeze_backbone if phase.frozen else unfreeze)(network)
        optimizer, scaler = adamw(network, phase.lowest_lr, phase.highest_lr), precision.scaler()
        state.attach(optimizer, scaler)
        wrapped = ranks.wrapped(network)
        forward = torch.compile(wrapped) if recipe.compile else wrapped
        rates = schedule_of(recipe, phase.epochs * steps)

        for epoch in range(state.epochs_in_phase, phase.epochs):
            network.train()
            started, done = time.monotonic() - state.train_s, len(state.step_losses)
            batches = _batches(data, recipe, precision, state.epoch + 1, done, ranks)
            for step, batch in enumerate(batches, epoch * steps + done):
                with stopping.deferred():
                    for group in optimizer.param_groups:
                        rate = rates(step, group["max_lr"])
                        group["lr"], group["betas"] = rate.lr, (rate.momentum, group["betas"][1])
                    loss, _ = add_gradients(
                        forward,
                        batch,
                        prepare,
                        recipe.objective,
                        precision,
                        scaler,
                        parts=recipe.accumulate,
                        weigh=recipe.objective.weigh,
                        ranks=ranks,
                    )
                    clip_gradients(optimizer, scaler, recipe.max_grad_norm)
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()

                    lr = optimizer.param_groups[-1]["lr"]
                    state.end_step(network, loss, lr, time.monotonic() - started)
                    if (step + 1) % recipe.checkpoint_every == 0:
                        state.save(run, checkpoint, precision, ranks)

            state.end_steps(started)
            ranks.equalise(judged := state.judged(network))
            heldout = score(judged, data.heldout, recipe.batch_size, ranks)
            with stopping.deferred():
                record = state.end_epoch(heldout, time.monotonic() - started)
                check_finite(record, recipe.lr)
                ranks.first_does(show_epoch, record)
                ranks.first_does(write_records, run, state.records)
                tracking.epochs(state.records)
                if epoch + 1 < phase.epochs:  # the last one's is saved with what follows from it
                    state.save(run, checkpoint, precision, ranks)

        with stopping.deferred():
            upcoming = planned[state.phase + 1 :]
            decision = after_phase(phase, upcoming, state.records[-1], state.best_loss, state.kept_loss)
            state.end_phase(decision, network)
            state.save(run, checkpoint, precision, ranks)
        if not decision.goes_on:
            break


def _batches(
    data: DataSet, recipe: Recipe, precision: Precision, epoch: int, first_step: int, ranks: Ranks
) -> Iterator[Batch]:
    """Of the epoch from that step on, with its progress."""
    batches = training_batches(
        data.train,
        recipe.images_per_step,
        precision.device,
        seed=recipe.seed,
        epoch=epoch,
        first_step=first_step,
        sampler=recipe.sampler,
        share=ranks.share,
        parts=recipe.accumulate,
    )
    return show_progress(
        batches, f"epoch {epoch}", steps_per_epoch(data.train, recipe.images_per_step) - first_step
    )


def _advice(state: TrainingState, recipe: Recipe, run: str) -> str:
    """What to try next, when all is done."""
    frozen = len(state.records) - sum(recipe.cycles[: len(state.decisions)])
    return advise(
        state.records[frozen:],
        state.records[frozen - 1].heldout_loss if frozen else state.first_loss,
        run,
        stopped_improving=len(state.decisions) > 1 and not state.improved,
        continued=recipe.epochs_before > 0,
        annealed=recipe.schedule != "constant",
    )
