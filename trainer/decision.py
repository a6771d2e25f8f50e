"""Which learning rate is taken after a range test, and why, in a record that can be shown and kept."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainer.lr_finder import Curve, minimum, slide, steep, valley

FEWEST_POINTS = 10
Confidence = Literal["high", "low", "none"]


@dataclass(frozen=True)
class Decision:
    """The chosen learning rate and all that speaks for or against it."""

    lr: float
    why: str
    confidence: Confidence
    suggestions: dict[str, float | None]
    curve: Curve | None
    """None where the learning rate was given"""
    warning: str | None = None

    def record(self) -> dict[str, Any]:
        """JSON-ready, with the curve."""
        return asdict(self)


def given(lr: float) -> Decision:
    """The user said so."""
    return Decision(lr, "given as --lr", "none", {}, None)


def decide(curve: Curve, fallback_lr: float) -> Decision:
    """Takes the valley, checked against the others; `fallback_lr` where the curve suggests nothing."""
    lrs, losses = curve.usable()
    suggestions = {
        "valley": valley(lrs, losses),
        "steep": steep(lrs, losses),
        "minimum": minimum(lrs, losses),
        "slide": slide(lrs, losses),
    }
    at_valley, at_minimum = suggestions["valley"], suggestions["minimum"]
    if len(lrs) < FEWEST_POINTS:
        problem = f"the curve has {len(lrs)} usable points, fewer than {FEWEST_POINTS} ({curve.end})"
    elif at_valley is None or at_minimum is None:
        problem = "the loss never fell, so the curve has no valley"
    elif at_valley > at_minimum:
        why = f"valley ({at_valley:.2g}) lies above minimum ({at_minimum:.2g}), which is the safer of the two"
        return Decision(at_minimum, why, "low", suggestions, curve)
    else:
        return Decision(at_valley, *_compare(at_valley, suggestions), suggestions, curve)
    why = f"the fallback: {problem}"
    return Decision(fallback_lr, why, "none", suggestions, curve, f"{problem}; --fallback-lr is taken")


def _compare(lr: float, suggestions: dict[str, float | None]) -> tuple[str, Confidence]:
    others = {name: rate for name, rate in suggestions.items() if name in {"steep", "minimum"} and rate}
    apart = max(abs(math.log10(rate / lr)) for rate in others.values())
    told = " and ".join(f"{name} ({rate:.2g})" for name, rate in others.items())
    if apart <= 1:
        return f"valley; {told} are within a factor of ten of it", "high"
    return f"valley; but {told} are up to a factor of {10**apart:.0f} away from it", "low"
