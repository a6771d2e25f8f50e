"""The training loop."""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from fovea.errors import DataInvalid, Terminated
from trainer.advice import advise, after_cycle
from trainer.augment import Augmentation, augment
from trainer.batches import Batch, steps_per_epoch, training_batches
from trainer.checkpoint import Checkpoint
from trainer.data import DataSet
from trainer.evaluation import score
from trainer.history import EpochRecord, Fit, append_record
from trainer.model import adamw, freeze_backbone, unfreeze
from trainer.precision import Precision, descend
from trainer.progress import show_epoch, show_progress
from trainer.schedule import one_cycle
from trainer.stopping import MESSAGE, Stopping

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune."""

    lr: float
    batch_size: int
    seed: int
    augmentation: Augmentation
    pretrained: bool
    frozen_epochs: int
    """before the cycles, with the head alone; only if pretrained"""
    cycles: list[int]
    """lengths in epochs; a further cycle is run only while the held-out loss falls"""


@dataclass(frozen=True)
class Phase:
    """One one-cycle of the schedule, with the highest rates of the first layers and of the head."""

    epochs: int
    lowest_lr: float
    highest_lr: float


def fit(
    checkpoint: Checkpoint, data: DataSet, recipe: Recipe, precision: Precision, stopping: Stopping, run: Path
) -> Fit:
    """Fine-tunes the checkpoint's network in place; it ends with the weights of the best cycle's end.

    Each epoch appends to `run`/metrics.jsonl and replaces `run`/checkpoint.pt.
    Raises Terminated after SIGTERM, with the checkpoint saved, and DataInvalid when the loss is not finite.
    """
    fitting = Fitting(checkpoint, data, recipe, precision, stopping, run, [])
    network, before_training = checkpoint.network, score(checkpoint.network, data.heldout, recipe.batch_size)
    with stopping.deferred():
        if recipe.pretrained and recipe.frozen_epochs:
            freeze_backbone(network)
            fitting.run(Phase(recipe.frozen_epochs, recipe.lr, recipe.lr))
            unfreeze(network)
        best = fitting.records[-1].heldout_loss if fitting.records else before_training.loss
        return _run_cycles(fitting, best)


def train(fitting: "Fitting", phase: Phase) -> Iterator[EpochRecord]:
    """Runs one phase and yields after each epoch. Raises Terminated after the step in which SIGTERM came."""
    network, data, recipe = fitting.checkpoint.network, fitting.data, fitting.recipe
    precision, first_epoch = fitting.precision, len(fitting.records) + 1
    optimizer, scaler = adamw(network, phase.lowest_lr, phase.highest_lr), precision.scaler()
    steps = steps_per_epoch(data.train, recipe.batch_size)
    for epoch in range(phase.epochs):
        started, number = time.monotonic(), first_epoch + epoch
        losses, lrs = [], []
        network.train()
        for step, (pixels, targets) in enumerate(_batches(fitting, number, steps)):
            _set_rates(optimizer, epoch * steps + step, phase.epochs * steps)
            with precision.autocast():
                loss = F.cross_entropy(network(augment(pixels, recipe.augmentation)), targets)
            descend(loss, optimizer, scaler)

            losses.append(loss.detach())  # read at the epoch's end: .item() would wait for the device
            lrs.append(optimizer.param_groups[-1]["lr"])
            if fitting.stopping.requested:
                raise Terminated(MESSAGE)
        heldout = score(network, data.heldout, recipe.batch_size)
        seconds, step_losses = time.monotonic() - started, torch.stack(losses).tolist()
        train_loss = sum(step_losses) / steps
        yield EpochRecord(number, train_loss, heldout.loss, heldout.accuracy, seconds, step_losses, lrs)


def _batches(fitting: "Fitting", epoch: int, steps: int) -> Iterator[Batch]:
    data, recipe, device = fitting.data, fitting.recipe, fitting.precision.device
    batches = training_batches(data.train, recipe.batch_size, device, seed=recipe.seed, epoch=epoch)
    return show_progress(batches, f"epoch {epoch}", steps)


def _set_rates(optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
    for group in optimizer.param_groups:
        now = one_cycle(step, steps, group["max_lr"])
        group["lr"], group["betas"] = now.lr, (now.momentum, group["betas"][1])


@dataclass(frozen=True)
class Fitting:
    """What the phases of one run share."""

    checkpoint: Checkpoint
    data: DataSet
    recipe: Recipe
    precision: Precision
    stopping: Stopping
    folder: Path
    records: list[EpochRecord]

    def run(self, phase: Phase) -> None:
        try:
            for record in train(self, phase):
                if not math.isfinite(record.train_loss + record.heldout_loss):
                    raise DataInvalid(
                        f"training diverged: the loss of epoch {record.epoch} is not finite; try an --lr "
                        f"below {self.recipe.lr:.2g}"
                    )
                self.records.append(record)
                append_record(self.folder, record)
                self.checkpoint.at(record.epoch).save(self.folder)
                show_epoch(record)
        except Terminated:
            self.checkpoint.at(len(self.records)).save(self.folder)
            raise


def _run_cycles(fitting: Fitting, best: float) -> Fit:
    """Cycle after cycle, each from the last one's weights, while the held-out loss falls below `best`.

    The first cycle may end above it and is followed all the same: from random weights, the statistics of
    batch norm lag behind one short epoch.
    """
    recipe, network = fitting.recipe, fitting.checkpoint.network
    before, frozen = best, len(fitting.records)
    decisions: list[str] = []
    kept, kept_loss, kept_state, improved = 0, math.inf, network.state_dict(), True
    for number, epochs in enumerate(recipe.cycles):
        fitting.run(_phase(recipe, epochs))
        loss = fitting.records[-1].heldout_loss
        improved = loss < best
        upcoming = next(iter(recipe.cycles[number + 1 :]), None)
        goes_on = upcoming is not None and (improved or number == 0)
        decisions.append(after_cycle(best, loss, epochs, upcoming, goes_on=goes_on))
        logger.info(decisions[-1])
        if loss < kept_loss:
            kept, kept_loss = len(fitting.records), loss
            kept_state = {name: value.clone() for name, value in network.state_dict().items()}
        best = min(best, loss)
        if not goes_on:
            break
    if kept != len(fitting.records):
        network.load_state_dict(kept_state)
        fitting.checkpoint.at(kept).save(fitting.folder)
    stopped_improving = len(decisions) > 1 and not improved
    advice = advise(fitting.records[frozen:], before, stopped_improving=stopped_improving)
    return Fit(fitting.records, decisions, kept, advice)


def _phase(recipe: Recipe, epochs: int) -> Phase:
    """Pretrained layers move less, the first ones least; random ones all alike (fastai's fine_tune)."""
    if not recipe.pretrained:
        return Phase(epochs, recipe.lr, recipe.lr)
    return Phase(epochs, recipe.lr / 200, recipe.lr / 2)
