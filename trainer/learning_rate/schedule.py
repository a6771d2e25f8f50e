"""Learning rate and momentum as pure functions of the step."""

import math
from dataclasses import dataclass

PCT_START = 0.25
DIV = 25.0
DIV_FINAL = 1e5
MOMENTUM_HIGH = 0.95
MOMENTUM_LOW = 0.85
MOMENTUM = 0.9
"""where the schedule does not move it"""


@dataclass(frozen=True)
class Rates:
    """The values of one optimizer step."""

    lr: float
    momentum: float


def one_cycle(step: int, steps: int, max_lr: float) -> Rates:
    """The one-cycle policy (Smith 2018, arXiv 1803.09820, with cosine halves as fastai has it).

    Over the first quarter of the steps lr rises from max_lr/25 to max_lr while momentum falls from .95 to
    .85; then lr falls to max_lr/1e5 while momentum rises again. `step` counts from 0 to `steps` - 1.
    """
    position = step / max(1, steps - 1)
    if position < PCT_START:
        part = position / PCT_START
        return Rates(
            cosine(max_lr / DIV, max_lr, part),
            cosine(MOMENTUM_HIGH, MOMENTUM_LOW, part),
        )
    part = (position - PCT_START) / (1 - PCT_START)
    return Rates(
        cosine(max_lr, max_lr / DIV_FINAL, part),
        cosine(MOMENTUM_LOW, MOMENTUM_HIGH, part),
    )


def triangular(step: int, step_size: int, base_lr: float, max_lr: float) -> Rates:
    """The triangular cyclical policy (Smith 2015, arXiv 1506.01186), counted from step 0.

    cycle = floor(1 + step / (2 step_size)), x = |step / step_size - 2 cycle + 1|,
    lr = base_lr + (max_lr - base_lr) max(0, 1 - x); momentum stays at .9.
    """
    _, height = _triangle(step, step_size)
    return Rates(base_lr + (max_lr - base_lr) * height, MOMENTUM)


def triangular2(step: int, step_size: int, base_lr: float, max_lr: float) -> Rates:
    """The paper's second policy: each triangle is half as high as the one before."""
    cycle, height = _triangle(step, step_size)
    return Rates(base_lr + (max_lr - base_lr) * height * 0.5 ** (cycle - 1), MOMENTUM)


def exp_range(step: int, step_size: int, base_lr: float, max_lr: float, gamma: float) -> Rates:
    """The paper's third policy: triangles whose height falls by `gamma` at each step. Their foot, `base_lr`,
    stays, as in torch's CyclicLR."""
    _, height = _triangle(step, step_size)
    return Rates(base_lr + (max_lr - base_lr) * height * gamma**step, MOMENTUM)


def _triangle(step: int, step_size: int) -> tuple[int, float]:
    """The triangle's number, from 1, and how far up it the step is: 0 at its ends, 1 at its top."""
    cycle = math.floor(1 + step / (2 * step_size))
    x = abs(step / step_size - 2 * cycle + 1)
    return cycle, max(0.0, 1 - x)


def constant(max_lr: float) -> Rates:
    """The same at every step, with momentum .9."""
    return Rates(max_lr, MOMENTUM)


def cosine(start: float, end: float, position: float) -> float:
    """From `start` to `end` along half a cosine; `position` in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * position)) / 2


def exponential(step: int, steps: int, start: float, end: float) -> float:
    """From `start` to `end` by equal factors. `step` counts from 0 to `steps` - 1."""
    return float(start * (end / start) ** (step / max(1, steps - 1)))


def linear(step: int, steps: int, start: float, end: float) -> float:
    """From `start` to `end` by equal differences. `step` counts from 0 to `steps` - 1."""
    return start + (end - start) * step / max(1, steps - 1)


def cycles(epochs: int | None, max_epochs: int) -> list[int]:
    """The lengths of the training cycles: all `epochs` in one, or 1, 2, 4, ... up to `max_epochs` in all."""
    if epochs is not None:
        return [epochs]
    lengths: list[int] = []
    while sum(lengths) < max_epochs:
        lengths.append(min(2 ** len(lengths), max_epochs - sum(lengths)))
    return lengths
