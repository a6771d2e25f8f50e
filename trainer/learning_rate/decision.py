"""Which learning rate is taken after a range test, and why, in a record that can be shown and kept."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np

from fovea.errors import DataInvalid
from trainer.learning_rate.range_test import Curve
from trainer.learning_rate.spread import SEEDS, Suggestion, falls_beyond_noise, lower_median, spread
from trainer.learning_rate.suggestions import clr, minimum, slide, steep, valley
from trainer.runs.run_folder import DECISION_FILE, RunFolder

logger = logging.getLogger(__name__)

FEWEST_POINTS = 10
NARROW = 10.0
"""A valley that wanders by no more than this factor, some three to either side, is trusted."""
FAR = 100.0
"""A valley this much lower than `minimum` would train too slowly to be trusted."""
NEAR = 3.0
"""A valley that lies outside `clr`'s pair, or off the curve's own, by no more than this factor agrees."""
OF_LOSSES: Final[Mapping[str, Suggestion]] = {
    "valley": valley,
    "steep": steep,
    "minimum": minimum,
    "slide": slide,
}

Confidence = Literal["high", "low", "none"]


@dataclass(frozen=True)
class Decision:
    """The chosen learning rate and all that speaks for or against it."""

    lr: float
    why: str
    confidence: Confidence
    suggestions: dict[str, float | None]
    """`clr` is the max_lr of its pair"""
    curve: Curve | None
    """None where the learning rate was given"""
    warning: str | None = None
    base_lr: float | None = None
    """the other half of `clr`"""
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    """lowest and highest of a suggestion over the curve and 20 resamplings of its noise"""

    def log(self) -> None:
        """One line, a warning where the curve suggested nothing."""
        level = logging.WARNING if self.warning else logging.INFO
        logger.log(level, "learning rate %.3g: %s", self.lr, self.warning or self.why)


def fixed_rate(lr: float) -> Decision:
    """The user said so."""
    return Decision(lr, "given as --lr", "none", {}, None)


def decide(curve: Curve, fallback_lr: float) -> Decision:
    """Takes the valley, but no more than `minimum`; `fallback_lr` where the curve suggests nothing.

    Both are the middle ones of the curve's own and of 20 resamplings of its noise (see `spread`): a curve's
    own valley alone is one draw, and lies at the end of its range as often as any.

    The confidence is high when the valley is taken, wanders by a factor of 10 at most over the resamplings,
    lies within a factor of 3 of the curve's own, and within one of 100 below `minimum`: any higher, and it
    would be near the rates at which the loss rises; any lower, and it would be where the loss hardly falls.
    Where the accuracies give the pair of `clr`, which is read off another curve, it must not lie far outside.
    `steep` and `slide` take no part: the smoothing moves them, by how much depends on the noise.
    """
    lrs, losses = curve.usable()
    suggestions = {name: suggest(lrs, losses) for name, suggest in OF_LOSSES.items()}
    pair = clr(lrs, np.array(curve.accuracies[curve.usable_slice])) if curve.accuracies else None
    suggestions["clr"] = pair[1] if pair else None
    base_lr = pair[0] if pair else None
    problem = _problem(curve, len(lrs), suggestions["valley"])
    if problem:
        warning = f"{problem}; --fallback-lr is taken"
        why = f"the fallback: {problem}"
        return Decision(fallback_lr, why, "none", suggestions, curve, warning, base_lr)
    values = spread(curve, OF_LOSSES)
    ranges = {name: (rates[0], rates[-1]) for name, rates in values.items()}
    lr, why, confidence = _choose(
        lower_median(values["valley"]), lower_median(values["minimum"]), ranges["valley"], pair
    )
    own = suggestions["valley"]
    if own and not 1 / NEAR <= own / lr <= NEAR:
        why, confidence = f"{why}; but the curve's own valley ({own:.2g}) lies far from it", "low"
    return Decision(lr, why, confidence, suggestions, curve, base_lr=base_lr, spread=ranges)


def _problem(curve: Curve, points: int, at_valley: float | None) -> str | None:
    if points < FEWEST_POINTS:
        hint = "; try a lower --end-lr" if curve.mode == "linear" else ""
        return f"the curve has {points} usable points, fewer than {FEWEST_POINTS} ({curve.end}{hint})"
    if at_valley is None:
        return "the loss never fell, so the curve has no valley"
    return None if falls_beyond_noise(curve) else "the loss fell by no more than its noise"


def _choose(
    at_valley: float, at_minimum: float, valley_range: tuple[float, float], pair: tuple[float, float] | None
) -> tuple[float, str, Confidence]:
    """The rate, why, and how far to trust it."""
    lowest, highest = valley_range
    steadiness = (
        f"over {SEEDS} resamplings of the curve's noise it lies between {lowest:.2g} and {highest:.2g}"
    )
    if at_valley > at_minimum:
        why = f"minimum, for valley ({at_valley:.2g}) lies above it; as for valley, {steadiness}"
        return at_minimum, why, "low"
    times = at_minimum / at_valley
    why = (
        f"valley, the middle one; {steadiness}, and the middle minimum ({at_minimum:.2g}) is {times:.1f} "
        "times as high"
    )
    trusted = highest / lowest <= NARROW and times <= FAR
    if pair:
        within = pair[0] / NEAR <= at_valley <= pair[1] * NEAR
        why += (
            f"; the accuracies {'agree' if within else 'do not agree'} (clr {pair[0]:.2g} to {pair[1]:.2g})"
        )
        trusted = trusted and within
    return at_valley, why, "high" if trusted else "low"


def write_decision(run: RunFolder, decision: Decision) -> None:
    """`run`'s lr_find.json, with the curve."""
    run.write_json(DECISION_FILE, as_record(decision))


def read_decision(run: RunFolder) -> Decision:
    """What a run's lr_find.json says. Raises DataInvalid where there is none, or a damaged one."""
    record = run.read_json(DECISION_FILE)
    try:
        return from_record(record)
    except (KeyError, TypeError) as error:
        raise DataInvalid(f"{run.path / DECISION_FILE}: not the record of a learning rate") from error


def as_record(decision: Decision) -> dict[str, Any]:
    """In types that JSON and other ranks take."""
    return asdict(decision)


def from_record(record: dict[str, Any]) -> Decision:
    """Raises KeyError and TypeError for what is none."""
    curve = Curve(**record["curve"]) if record["curve"] else None
    return Decision(**{**record, "curve": curve})
