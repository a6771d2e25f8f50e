"""The recipe of a training as data: what it minimises, its phases, and the rates of every step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.images.augment import Augmentation
from trainer.images.batches import Images, Sampler
from trainer.images.mixing import Mixing
from trainer.learning_rate.schedule import Rates, constant, exp_range, one_cycle, triangular, triangular2

Schedule = Literal["onecycle", "triangular", "triangular2", "exp_range", "constant"]

LAST_HEIGHT: Final = 0.01
"""of exp_range's triangles at the end of a phase, of what they began with"""


@dataclass(frozen=True)
class Objective:
    """Cross entropy in nats, with smoothed targets and with classes that count more than others.

    Held-out losses are always the plain one, so that runs can be compared.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    """float32 [classes]; an image's loss counts by its class, relative to the others of its batch"""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """logits [n, classes], targets int64 [n] or shares float32 [n, classes] -> a scalar.

        Of shares it is the mean of the classes' losses by their shares, also where classes count differently.
        """
        if not targets.is_floating_point():
            return F.cross_entropy(
                logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing
            )
        # By torch's own mean an image would not count relative to the others, as it does without shares.
        total = F.cross_entropy(
            logits,
            targets,
            weight=self.class_weights,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        if self.class_weights is None:
            return total / len(targets)
        return total / (targets * self.class_weights).sum()

    def weigh(self, targets: Tensor) -> Tensor | int:
        """What images with these targets int64 [n] count in the mean over a batch, also when they are mixed
        among themselves."""
        return len(targets) if self.class_weights is None else self.class_weights[targets].sum()


class Minimised(Protocol):
    """What a training minimises: `Objective`, or `MultiLabelObjective`."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor: ...

    def weigh(self, targets: Tensor) -> Tensor | int: ...


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
    """of the triangular schedules; by default a quarter of `lr`"""
    step_size: int | None = None
    """of the triangular schedules: steps of half a triangle; by default half a phase, and a sixth where each
    triangle is lower than the one before"""
    gamma: float | None = None
    """of exp_range: what a step leaves of the triangles' height; by default LAST_HEIGHT is left by a phase"""
    objective: Minimised = field(default_factory=Objective)
    sampler: Sampler = "shuffle"
    mixing: Mixing | None = None
    """of images with others of their batch; None for none"""
    accumulate: int = 1
    """batches that make one optimizer step, whose gradients are added up"""
    max_grad_norm: float | None = None
    ema: float | None = None
    """decay of the weights' average, which is scored and kept in their place; None makes none"""
    compile: bool = False
    checkpoint_every: int = 500
    """optimizer steps"""
    epochs_before: int = 0
    """epochs behind the weights that this training begins with"""
    sizes: tuple[int, ...] = ()
    """of the images in each epoch, also the frozen ones; none where all are as the augmentation says"""

    @property
    def images_per_step(self) -> int:
        return self.batch_size * self.accumulate

    def augmentation_of(self, epoch: int) -> Augmentation:
        """`epoch` is counted from this training's first, which is 0."""
        return self.augmentation.at(self.sizes[epoch]) if self.sizes else self.augmentation


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


def sizes_of_epochs(sizes: Sequence[int], epochs: int) -> tuple[int, ...]:
    """As many epochs at each size, one size after another; where they do not divide, the last sizes have one
    more. With fewer epochs than sizes the first sizes have none."""
    each, rest = divmod(epochs, len(sizes))
    first_with_more = len(sizes) - rest
    return tuple(size for place, size in enumerate(sizes) for _ in range(each + (place >= first_with_more)))


def schedule_of(recipe: Recipe, steps: int) -> Callable[[int, float], Rates]:
    """For a phase of `steps`: (step from 0, a group's highest lr) -> the group's lr and momentum."""
    if recipe.schedule == "constant":
        return lambda step, max_lr: constant(max_lr)
    if recipe.schedule == "onecycle":
        return lambda step, max_lr: one_cycle(step, steps, max_lr)
    # Groups rise from the same share of their highest rate.
    base = (recipe.base_lr or recipe.lr / 4) / recipe.lr
    half = recipe.step_size or max(1, steps // (2 if recipe.schedule == "triangular" else 6))
    if recipe.schedule == "triangular":
        return lambda step, max_lr: triangular(step, half, base * max_lr, max_lr)
    if recipe.schedule == "triangular2":
        return lambda step, max_lr: triangular2(step, half, base * max_lr, max_lr)
    gamma = recipe.gamma or LAST_HEIGHT ** (1 / steps)
    return lambda step, max_lr: exp_range(step, half, base * max_lr, max_lr, gamma)


def balanced_weights(images: Images, classes: int, device: torch.device) -> Tensor:
    """float32 [classes]: n / (classes * images of the class), so that every class counts the same in all."""
    counts = np.bincount(images.targets, minlength=classes)
    weights = len(images) / (classes * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32, device=device)
