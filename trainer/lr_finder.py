"""The learning-rate range test (Smith 2015, arXiv 1506.01186) and what its curve suggests.

The suggestions are pure functions over a curve that is already smoothed and cut, see `Curve.usable`.
"""

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.augment import Augmentation, augment
from trainer.precision import Precision, descend
from trainer.schedule import exponential
from trainer.snapshot import untouched

SMOOTHING = 0.98
DIVERGED = 4.0
"""The test ends when the smoothed loss exceeds its best by this factor."""

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """What the range test saw, one point an optimizer step."""

    lrs: list[float]
    losses: list[float]
    """as they came"""
    smoothed: list[float]
    end: str
    """why the test ended, for a person"""

    def usable(self) -> tuple[Points, Points]:
        """(lrs, smoothed losses) without the first tenth and the last five points, which tell of the start
        and of the divergence. May be empty."""
        kept = slice(len(self.lrs) // 10, -5)
        return np.array(self.lrs[kept]), np.array(self.smoothed[kept])


@dataclass(frozen=True)
class RangeTest:
    """Its options."""

    start_lr: float
    end_lr: float
    num_steps: int


def range_test(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor]],
    how: RangeTest,
    augmentation: Augmentation,
    precision: Precision,
) -> Curve:
    """Trains for up to `num_steps` steps at rising learning rates and undoes all of it.

    `batches` gives (pixels uint8 [n, R, R, 3], targets int64 [n]) without end. Afterwards, also after an
    exception, parameters, buffers, gradients, optimizer, modes and random generators are as before.
    """
    lrs: list[float] = []
    losses: list[float] = []
    end = f"all {how.num_steps} steps were made"
    with untouched(model, optimizer):
        model.train()
        scaler = precision.scaler()
        for step in range(how.num_steps):
            lr = exponential(step, how.num_steps, how.start_lr, how.end_lr)
            for group in optimizer.param_groups:
                group["lr"] = lr
            pixels, targets = next(batches)
            with precision.autocast():
                loss = F.cross_entropy(model(augment(pixels, augmentation)), targets)
            descend(loss, optimizer, scaler)
            value = loss.item()
            if not math.isfinite(value):
                end = f"the loss was not finite at a learning rate of {lr:.2g}"
                break
            lrs.append(lr)
            losses.append(value)
            smoothed = smooth(losses)
            if smoothed[-1] > DIVERGED * min(smoothed):
                end = f"the smoothed loss passed {DIVERGED:g} times its best at a learning rate of {lr:.2g}"
                break
    return Curve(lrs, losses, smooth(losses), end)


def smooth(losses: list[float], beta: float = SMOOTHING) -> list[float]:
    """Exponential moving average, bias-corrected as v / (1 - beta^n) with n from 1: a constant stays one."""
    average, smoothed = 0.0, []
    for count, loss in enumerate(losses, 1):
        average = beta * average + (1 - beta) * loss
        smoothed.append(average / (1 - beta**count))
    return smoothed


def steep(lrs: Points, losses: Points) -> float | None:
    """The lr where d loss / d ln lr is lowest: forward differences, the left point's lr.

    None for fewer than two points.
    """
    if len(losses) < 2:
        return None
    slopes = np.diff(losses) / np.diff(np.log(lrs))
    return float(lrs[np.argmin(slopes)])


def minimum(lrs: Points, losses: Points) -> float | None:
    """A tenth of the lr with the lowest loss. None without points."""
    return float(lrs[np.argmin(losses)] / 10) if len(losses) else None


def valley(lrs: Points, losses: Points) -> float | None:
    """A half into the longest valley, as fastai has it.

    With m the end and L the length of the longest strictly decreasing subsequence of the losses, the point
    (m - L) + floor(L / 3) + floor(L / 6). None for a curve that never falls.
    """
    lengths = _decreasing_lengths(losses)
    longest = max(lengths, default=0)
    if longest < 2:
        return None
    index = lengths.index(longest) - longest + longest // 3 + longest // 6
    return float(lrs[max(0, index)])


def slide(lrs: Points, losses: Points, window: int = 15, threshold: float = 0.005) -> float | None:
    """From the right, a window moves left while the gradients (per point) at its ends differ by more than
    `threshold`; the left end's lr of the last that did. After Novetta's method, as fastai has it.

    None for a curve that is not longer than the window.
    """
    if len(losses) <= window:
        return None
    slopes = np.gradient(losses)
    right = len(losses) - 1
    chosen = right - window
    while right >= window and abs(slopes[right] - slopes[right - window]) > threshold:
        chosen = right - window
        right -= 1
    return float(lrs[chosen])


def _decreasing_lengths(losses: Points) -> list[int]:
    """For each point the length of the longest strictly decreasing subsequence that ends there.

    Patience sorting, n log n: tails[k] is the highest loss that ends a subsequence of length k + 1.
    """
    tails: list[float] = []
    lengths = []
    for loss in losses:
        place = bisect.bisect_left(tails, -float(loss))
        tails[place : place + 1] = [-float(loss)]
        lengths.append(place + 1)
    return lengths
