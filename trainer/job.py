"""The commands: each is one function that reads downwards."""

import logging
import random
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from fovea.bundle import REPORT_FILE
from fovea.errors import DataInvalid
from fovea.settings import as_saved, flag
from fovea.storage import open_folder
from fovea.versions import published
from trainer.augment import Augmentation
from trainer.batches import endless_batches
from trainer.checkpoint import Checkpoint
from trainer.config import DIGITS, ExportSettings, LrFindSettings, TrainSettings
from trainer.data import DataSet, read_images
from trainer.decision import Decision, decide, given
from trainer.history import Fit
from trainer.loop import Recipe, fit
from trainer.lr_finder import RangeTest, range_test
from trainer.model import adamw, build_network, freeze_backbone, unfreeze
from trainer.precision import Precision, choose_precision
from trainer.progress import show_progress
from trainer.release import Released, release
from trainer.report.figures import write_curve
from trainer.run_folder import (
    AUDIT_FILE,
    CURVE_FILE,
    DECISION_FILE,
    FIT_FILE,
    LINEAGE_FILE,
    SETTINGS_FILE,
    SUMMARY_FILE,
    RunFolder,
)
from trainer.schedule import cycles
from trainer.sources import open_source
from trainer.stopping import Stopping
from trainer.weights import load_weights

logger = logging.getLogger(__name__)

AnySettings = LrFindSettings | TrainSettings


def find_lr(settings: LrFindSettings) -> None:
    """`lr-find`: the range test alone. Prints the suggestions; writes lr_find.png and lr_find.json."""
    Stopping()
    folder = RunFolder(settings.output)
    start = _start(settings)
    decision = _test_range(start, settings)
    folder.make()
    _write_decision(folder, decision)
    print(_describe_decision(decision))
    print(f"\n{folder.path / CURVE_FILE}")


def train(settings: TrainSettings) -> None:
    """`train`: everything from the images to a published version."""
    started, stopping = time.monotonic(), Stopping()
    published(open_folder(settings.models))  # a store that does not answer is known before hours of training
    run = RunFolder.unused(settings.runs, settings.run_id)
    start = _start(settings)
    run.make()
    run.write_json(SETTINGS_FILE, as_saved(settings))
    run.write_json(AUDIT_FILE, start.data.audit())
    run.write_json(LINEAGE_FILE, {"data_digest": start.data.digest, "weights_sha256": start.weights_sha256})
    decision = given(settings.lr) if settings.lr != "auto" else _test_range(start, settings)
    _write_decision(run, decision)
    fitted = fit(
        start.checkpoint, start.data, _recipe(settings, decision.lr), start.precision, stopping, run.path
    )
    run.write_json(FIT_FILE, {**asdict(fitted), "epochs": len(fitted.epochs)})
    checkpoint = start.checkpoint.at(fitted.kept_epoch)
    released = release(run, checkpoint, start.data.heldout, settings, settings.models, settings.threads)
    summary = _summary(run, start.data, decision, fitted, released, time.monotonic() - started)
    run.write_json(SUMMARY_FILE, summary)
    print(_describe(summary, decision, fitted))


def export(settings: ExportSettings) -> None:
    """`export`: release a finished run again."""
    Stopping()
    run = RunFolder(settings.run)
    checkpoint = Checkpoint.load(run.path)
    trained = TrainSettings(**run.read_json(SETTINGS_FILE))
    choose_precision(settings.device, settings.threads)
    data = _read_data(trained, settings.threads)
    if data.digest != run.read_json(AUDIT_FILE)["digest"]:
        raise DataInvalid(f"{trained.data}: the images are not those that the run {run.path} was trained on")
    released = release(run, checkpoint, data.heldout, trained, settings.models, settings.threads)
    print(f"published {released.uri}: held-out accuracy {released.metrics.accuracy:.2%}")


@dataclass(frozen=True)
class _Start:
    """What there is before the first step."""

    data: DataSet
    checkpoint: Checkpoint
    precision: Precision
    weights_sha256: str | None


def _start(settings: AnySettings) -> _Start:
    if settings.data == "digits":
        logger.info(
            "--data digits: %s",
            ", ".join(
                f"{flag(n)} {getattr(settings, n)}" for n in DIGITS if n in type(settings).model_fields
            ),
        )
    precision = choose_precision(settings.device, settings.threads)
    data = _read_data(settings, settings.threads)
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    network = build_network(settings.arch, len(data.labels), settings.size)
    digest = load_weights(
        network, settings.arch, settings.weights, settings.weights_sha256, settings.cache_dir
    )
    network.to(precision.device, memory_format=precision.memory_format)  # type: ignore[call-overload]
    checkpoint = Checkpoint(network, settings.arch, data.labels, settings.preprocess, 0)
    return _Start(data, checkpoint, precision, digest)


def _read_data(settings: AnySettings, threads: int) -> DataSet:
    split = open_source(
        settings.data,
        val_fraction=settings.val_fraction,
        seed=settings.seed,
        cache_dir=settings.cache_dir,
    )
    data = read_images(
        split,
        settings.data,
        settings.preprocess,
        settings.cache_dir,
        max_bad_fraction=settings.max_bad_fraction,
        threads=threads,
    )
    logger.info(
        "%d images to train on, %d held out, %d classes", len(data.train), len(data.heldout), len(data.labels)
    )
    if data.bad:
        logger.warning(
            "%d images are left out, such as %s: %s", len(data.bad), data.bad[0].path, data.bad[0].reason
        )
    return data


def _test_range(start: _Start, settings: AnySettings) -> Decision:
    network, precision = start.checkpoint.network, start.precision
    frozen = settings.weights != "none" and getattr(settings, "frozen_epochs", 1) > 0
    if frozen:
        freeze_backbone(network)
    how = RangeTest(settings.start_lr, settings.end_lr, settings.num_steps)
    batches = endless_batches(start.data.train, settings.batch_size, precision.device, seed=settings.seed)
    shown = show_progress(batches, "range test", settings.num_steps)
    curve = range_test(network, adamw(network, 1, 1), shown, how, _augmentation(settings), precision)
    unfreeze(network)
    decision = decide(curve, settings.fallback_lr)
    if decision.warning:
        logger.warning("%s", decision.warning)
    logger.info("learning rate %.3g: %s", decision.lr, decision.why)
    return decision


def _augmentation(settings: AnySettings) -> Augmentation:
    return Augmentation(settings.size, settings.min_crop, settings.max_rotation, settings.flip)


def _recipe(settings: TrainSettings, lr: float) -> Recipe:
    return Recipe(
        lr=lr,
        batch_size=settings.batch_size,
        seed=settings.seed,
        augmentation=_augmentation(settings),
        pretrained=settings.weights != "none",
        frozen_epochs=settings.frozen_epochs,
        cycles=cycles(None if settings.epochs == "auto" else settings.epochs, settings.max_epochs),
    )


def _write_decision(folder: RunFolder, decision: Decision) -> None:
    folder.write_json(DECISION_FILE, decision.record())
    if decision.curve is not None:
        write_curve(folder.path / CURVE_FILE, decision)


def _describe_decision(decision: Decision) -> str:
    rows = [
        f"{name:<12}{rate:.3g}" if rate else f"{name:<12}-" for name, rate in decision.suggestions.items()
    ]
    return "\n".join([*rows, "", f"learning rate {decision.lr:.3g}: {decision.why}"])


def _summary(
    run: RunFolder, data: DataSet, decision: Decision, fitted: Fit, released: Released, seconds: float
) -> dict[str, Any]:
    return {
        "learning_rate": decision.lr,
        "accuracy": released.metrics.accuracy,
        "loss": released.metrics.loss,
        "epochs": fitted.kept_epoch,
        "epochs_advice": fitted.advice,
        "images_train": len(data.train),
        "images_heldout": len(data.heldout),
        "model": released.uri,
        "report": str(run.path / REPORT_FILE),
        "seconds": round(seconds, 1),
    }


def _describe(summary: dict[str, Any], decision: Decision, fitted: Fit) -> str:
    return "\n".join(
        [
            "",
            f"learning rate   {decision.lr:.3g} ({decision.why})",
            *(f"epochs          {text}" for text in fitted.decisions),
            f"accuracy        {summary['accuracy']:.2%} of {summary['images_heldout']} held-out images",
            f"advice          {summary['epochs_advice']}",
            f"model           {summary['model']}",
            f"report          {summary['report']}",
            f"time            {summary['seconds']:.0f} s",
        ]
    )
