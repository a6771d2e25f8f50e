"""The learning-rate range test (Smith 2015, arXiv 1506.01186)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.images.augment import Augmentation, augment
from trainer.images.mixing import Mixing, mix
from trainer.learning_rate.schedule import exponential, linear
from trainer.learning_rate.suggestions import Points, clr, minimum, slide, steep, valley
from trainer.network.gradients import add_gradients
from trainer.network.precision import Precision, clip_gradients
from trainer.network.snapshot import untouched
from trainer.ranks.group import ALONE, Part, Ranks

__all__ = ["Curve", "RangeTestOptions", "clr", "minimum", "range_test", "slide", "smooth", "steep", "valley"]

SMOOTHING = 0.98
DIVERGED = 4.0
"""The test ends when the smoothed loss exceeds its best by this factor."""

Mode = Literal["exponential", "linear"]


@dataclass(frozen=True)
class Curve:
    """What the range test saw, one point an optimizer step."""

    lrs: list[float]
    losses: list[float]
    """as they came"""
    smoothed: list[float]
    end: str
    """why the test ended, for a person"""
    accuracies: list[float] = field(default_factory=list)
    """of the training batches, as they came; none in records of older versions"""
    mode: Mode = "exponential"

    def usable(self) -> tuple[Points, Points]:
        """(lrs, smoothed losses) without the first tenth and the last five points, which tell of the start
        and of the divergence. May be empty."""
        usable = self.usable_slice
        return np.array(self.lrs[usable]), np.array(self.smoothed[usable])

    @property
    def usable_slice(self) -> slice:
        return slice(len(self.lrs) // 10, -5)


@dataclass(frozen=True)
class RangeTestOptions:
    """How the learning rate rises."""

    start_lr: float
    end_lr: float
    num_steps: int
    mode: Mode = "exponential"

    def lr(self, step: int) -> float:
        """`step` counts from 0 to `num_steps` - 1."""
        rise = exponential if self.mode == "exponential" else linear
        return rise(step, self.num_steps, self.start_lr, self.end_lr)


@dataclass
class Smoother:
    """Exponential moving average, bias-corrected as v / (1 - beta^n) with n from 1: a constant stays one."""

    beta: float = SMOOTHING
    _average: float = 0.0
    _count: int = 0

    def add(self, value: float) -> float:
        """The average with `value` in it."""
        self._count += 1
        self._average = self.beta * self._average + (1 - self.beta) * value
        return self._average / (1 - self.beta**self._count)


def range_test(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor]],
    options: RangeTestOptions,
    augmentation: Augmentation,
    precision: Precision,
    objective: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    max_norm: float | None = None,
    *,
    mixing: Mixing | None = None,
    parts: int = 1,
    weigh: Callable[[Tensor], Tensor | int] = len,
    ranks: Ranks = ALONE,
) -> Curve:
    """Trains for up to `num_steps` steps at rising learning rates and undoes all of it.

    `batches` gives (pixels uint8 [n, R, R, 3], targets int64 [n]) without end; `objective` makes a loss of
    logits float [n, C] and targets, images are mixed, and gradients are clipped to `max_norm`, as training
    will have it. Of a batch that is computed in `parts`, each of which counts by what `weigh` says, there is
    one point. Several ranks see one curve, and end as one.
    Afterwards, also after an exception, parameters, buffers, gradients, optimizer, modes and random
    generators are as before. With a GradScaler (float16) the first steps may be skipped while it finds its
    scale: they are points all the same, at rates too low to move anything.
    """

    def prepare(pixels: Tensor, targets: Tensor, part: Part) -> tuple[Tensor, Tensor]:
        augmented = augment(pixels, augmentation, part.count, part.rows)
        with ranks.noise("mixing"):
            return mix(augmented, targets, mixing)

    curve = Curve([], [], [], f"all {options.num_steps} steps were made", mode=options.mode)
    with untouched(model, optimizer):
        model.train()
        scaler, smoother = precision.scaler(), Smoother()
        for step in range(options.num_steps):
            lr = options.lr(step)
            for group in optimizer.param_groups:
                group["lr"] = lr
            loss, accuracy = add_gradients(
                model,
                next(batches),
                prepare,
                objective,
                precision,
                scaler,
                parts=parts,
                weigh=weigh,
                ranks=ranks,
            )
            clip_gradients(optimizer, scaler, max_norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            value, right = torch.stack([loss, accuracy]).tolist()  # waits for the device once
            ranks.check()
            if not math.isfinite(value):
                return replace(curve, end=f"the loss was not finite at a learning rate of {lr:.2g}")
            curve.lrs.append(lr)
            curve.losses.append(value)
            curve.accuracies.append(right)
            curve.smoothed.append(smoother.add(value))
            if curve.smoothed[-1] > DIVERGED * min(curve.smoothed):
                passed = (
                    f"the smoothed loss passed {DIVERGED:g} times its best at a learning rate of {lr:.2g}"
                )
                return replace(curve, end=passed)
    return curve


def smooth(losses: list[float], beta: float = SMOOTHING) -> list[float]:
    """Every value's bias-corrected exponential moving average, see Smoother."""
    smoother = Smoother(beta)
    return [smoother.add(loss) for loss in losses]
