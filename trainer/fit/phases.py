"""The recipe of a training as data: its phases, one after the other, and the rates of every step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from trainer.fit.objective import Objective
from trainer.images.augment import Augmentation
from trainer.images.batches import Sampler
from trainer.learning_rate.schedule import Rates, constant, one_cycle, triangular

Schedule = Literal["onecycle", "triangular", "constant"]


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune."""

    lr: float
    batch_size: int
    seed: int
    augmentation: Augmentation
    pretrained: bool
    """the first layers then move less than the last ones"""
    frozen_epochs: int
    """before the cycles, with the head alone; only if pretrained"""
    cycles: list[int]
    """lengths in epochs; a further cycle is run only while the held-out loss falls"""
    schedule: Schedule = "onecycle"
    base_lr: float | None = None
    """of the triangular schedule; by default a quarter of `lr`"""
    step_size: int | None = None
    """of the triangular schedule: steps of half a triangle; by default half a phase"""
    objective: Objective = field(default_factory=Objective)
    sampler: Sampler = "shuffle"
    max_grad_norm: float | None = None
    compile: bool = False
    checkpoint_every: int = 500
    """optimizer steps"""
    epochs_before: int = 0
    """epochs behind the weights that this training begins with"""


@dataclass(frozen=True)
class Phase:
    """Some epochs under one schedule, with the highest rates of the first layers and of the head."""

    epochs: int
    lowest_lr: float
    highest_lr: float
    frozen: bool = False


def phases(recipe: Recipe) -> list[Phase]:
    """All that may be run. Pretrained layers move less, the first ones least; random ones all alike
    (fastai's fine_tune)."""
    if not recipe.pretrained:
        return [Phase(epochs, recipe.lr, recipe.lr) for epochs in recipe.cycles]
    frozen = [Phase(recipe.frozen_epochs, recipe.lr, recipe.lr, frozen=True)] if recipe.frozen_epochs else []
    return [*frozen, *(Phase(epochs, recipe.lr / 200, recipe.lr / 2) for epochs in recipe.cycles)]


def schedule_of(recipe: Recipe, steps: int) -> Callable[[int, float], Rates]:
    """For a phase of `steps`: (step from 0, a group's highest lr) -> the group's lr and momentum."""
    if recipe.schedule == "constant":
        return lambda step, max_lr: constant(max_lr)
    if recipe.schedule == "triangular":
        # Groups rise from the same share of their highest rate.
        base = (recipe.base_lr or recipe.lr / 4) / recipe.lr
        half = recipe.step_size or max(1, steps // 2)
        return lambda step, max_lr: triangular(step, half, base * max_lr, max_lr)
    return lambda step, max_lr: one_cycle(step, steps, max_lr)
