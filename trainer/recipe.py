"""The recipe of a training, as its settings, its data and the range test make it."""

import logging
import math

from fovea import tracing
from fovea.errors import SettingsInvalid
from trainer.config import LabelsSettings, LrFindSettings, TrainSettings
from trainer.fit.multi_label import MultiLabelObjective, balanced_positive_weights
from trainer.fit.recipe import Minimised, Objective, Recipe, balanced_weights
from trainer.images.augment import Augmentation
from trainer.images.batches import endless_batches
from trainer.images.mixing import Mixing
from trainer.learning_rate.decision import Decision, as_record, decide, from_record
from trainer.learning_rate.range_test import RangeTestOptions, range_test
from trainer.learning_rate.schedule import cycles
from trainer.network.model import adamw, freeze_backbone, unfreeze
from trainer.preparation import AnySettings, Start, epoch_sizes
from trainer.progress import show_progress

logger = logging.getLogger(__name__)


def find_learning_rate(start: Start, settings: AnySettings) -> Decision:
    """Makes the range test in the state that training begins in; ranks come to one decision."""
    network, precision, ranks = start.checkpoint.network, start.precision, start.ranks
    options = RangeTestOptions(settings.start_lr, settings.end_lr, settings.num_steps, settings.mode)
    batches = endless_batches(
        start.data.train,
        settings.batch_size * _batches_per_step(start, settings),
        precision.device,
        seed=settings.seed,
        sampler=settings.sampler,
        share=ranks.share,
        parts=settings.accumulate,
    )
    watched = show_progress(batches, "range test", settings.num_steps)
    minimised = objective(start, settings)
    if settings.weights != "none" and settings.frozen_epochs:
        freeze_backbone(network)
    try:
        with tracing.span("range test"):
            curve = range_test(
                ranks.wrapped(network),
                adamw(network, 1, 1),
                watched,
                options,
                augmentation(settings).at(settings.sizes[0] if settings.sizes else settings.size),
                precision,
                minimised,
                settings.max_grad_norm,
                mixing=mixing(start, settings),
                parts=_batches_per_step(start, settings),
                weigh=minimised.weigh,
                ranks=ranks,
            )
    finally:
        unfreeze(network)
    decision = from_record(ranks.from_first(lambda: as_record(decide(curve, settings.fallback_lr))))
    decision.log()
    return decision


def recipe_of(settings: TrainSettings | LabelsSettings, start: Start, decision: Decision) -> Recipe:
    """How to fine-tune, with the learning rate that was decided on."""
    if (possible := _batches_per_step(start, settings)) < settings.accumulate:
        logger.warning(
            "--accumulate %d: there are images for %d batches; an epoch is one step",
            settings.accumulate,
            possible,
        )
    return Recipe(
        lr=decision.lr,
        batch_size=settings.batch_size,
        seed=settings.seed,
        augmentation=augmentation(settings),
        pretrained=settings.weights != "none",
        frozen_epochs=settings.frozen_epochs,
        cycles=cycles(None if settings.epochs == "auto" else settings.epochs, settings.max_epochs),
        schedule=settings.schedule,
        base_lr=settings.base_lr or _base_below(decision),
        step_size=settings.step_size,
        gamma=settings.gamma,
        objective=objective(start, settings),
        sampler=settings.sampler,
        mixing=mixing(start, settings),
        accumulate=_batches_per_step(start, settings),
        max_grad_norm=settings.max_grad_norm,
        ema=settings.ema,
        compile=settings.compile,
        checkpoint_every=settings.checkpoint_every,
        epochs_before=start.checkpoint.epochs,
        sizes=epoch_sizes(settings),
    )


def _base_below(decision: Decision) -> float | None:
    """Where accuracy began to rise in the range test, if that is below the learning rate."""
    return decision.base_lr if decision.base_lr and decision.base_lr < decision.lr else None


def check_triangles(settings: TrainSettings | LabelsSettings, lr: float) -> None:
    """Raises SettingsInvalid where they would stand on their tops."""
    base_lr = settings.base_lr or 0.0
    if base_lr > lr:
        run = settings.continue_from if isinstance(settings, TrainSettings) else None
        origin = f"; where none is given it is that of --continue-from {run}" if run else ""
        raise SettingsInvalid(
            f"--base-lr {base_lr:g} should be below the learning rate, which is {lr:.3g}{origin}"
        )


def augmentation(settings: AnySettings) -> Augmentation:
    return Augmentation(
        settings.size,
        settings.min_crop,
        settings.max_rotation,
        settings.flip,
        settings.max_warp,
        settings.max_lighting,
        pad_colour=settings.preprocess.pad_colour if settings.fit == "pad" else None,
    )


def _batches_per_step(start: Start, settings: AnySettings) -> int:
    """No more than there are: the images in more parts would be fewer than a batch in each."""
    return min(settings.accumulate, max(1, math.ceil(len(start.data.train) / settings.batch_size)))


def mixing(start: Start, settings: AnySettings) -> Mixing | None:
    """What the range test and the training do alike."""
    if not settings.mixup and not settings.cutmix:
        return None
    return Mixing(len(start.data.labels), settings.mixup, settings.cutmix)


def objective(start: Start, settings: AnySettings) -> Minimised:
    """What the range test and the training minimise."""
    if not isinstance(settings, LabelsSettings) and settings.task == "multi":
        return _multi_label_objective(start, settings)
    weighted = settings.class_weights == "balanced"
    classes, device = len(start.data.labels), start.precision.device
    weights = balanced_weights(start.data.train, classes, device) if weighted else None
    return Objective(settings.label_smoothing, weights)


def _multi_label_objective(start: Start, settings: LrFindSettings | TrainSettings) -> MultiLabelObjective:
    balanced = settings.positive_weights == "balanced"
    weights = balanced_positive_weights(start.data.train, start.precision.device) if balanced else None
    return MultiLabelObjective(settings.label_smoothing, weights, settings.loss)
