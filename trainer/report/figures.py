"""The report's charts, as SVG that follows the page's light or dark theme, and lr_find.png."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.decision import Decision
from trainer.history import EpochRecord
from trainer.lr_finder import Curve, smooth
from trainer.suggestions import centred_means

INK, FAINT, FIRST, SECOND, THIRD = "#1b2430", "#8a94a3", "#2563eb", "#d9480f", "#0a8f6a"
MARKS = {"valley": FIRST, "steep": THIRD, "minimum": SECOND, "slide": "#9333ea"}
VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
    "#9333ea": "var(--fourth)",
}
"""Colours in the drawing -> the page's CSS variables."""


def write_curve(path: Path, decision: Decision) -> None:
    """lr_find.png: the range test's curve with the suggestions marked."""
    with _style():
        figure = _curve(decision)
        figure.savefig(path, dpi=150, facecolor="white")


def draw_curve(decision: Decision) -> str:
    """The same as inline SVG."""
    with _style():
        return _svg(_curve(decision), "range-test")


def draw_losses(records: list[EpochRecord]) -> str:
    """Training loss by step, held-out loss at the end of each epoch."""
    with _style():
        figure, axes = _plot("optimizer step", "loss (nats)")
        losses = [loss for record in records for loss in record.step_losses]
        axes.plot(range(1, len(losses) + 1), losses, color=FAINT, lw=0.7, alpha=0.6)
        axes.plot(range(1, len(losses) + 1), smooth(losses, 0.9), color=FIRST, label="training")
        axes.plot(
            _epoch_ends(records), [r.heldout_loss for r in records], "o-", color=SECOND, label="held out"
        )
        axes.legend(frameon=False)
        return _svg(figure, "losses")


def draw_accuracy(records: list[EpochRecord]) -> str:
    with _style():
        figure, axes = _plot("epoch", "held-out accuracy (%)")
        epochs = [record.epoch for record in records]
        axes.plot(epochs, [100 * record.heldout_accuracy for record in records], "o-", color=THIRD)
        axes.set_xticks(epochs[:: max(1, len(epochs) // 10)])
        return _svg(figure, "accuracy")


def draw_rates(records: list[EpochRecord]) -> str:
    with _style():
        figure, axes = _plot("optimizer step", "learning rate")
        rates = [rate for record in records for rate in record.step_lrs]
        axes.plot(range(1, len(rates) + 1), rates, color=FIRST)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        return _svg(figure, "rates")


def _curve(decision: Decision) -> Figure:
    """The losses with the suggestions that they give; the accuracies, if there are any, below them."""
    curve = decision.curve
    if curve is None or not curve.lrs:
        return _plot("learning rate", "loss (nats)", width=7.6, height=3.6)[0]
    figure = Figure(figsize=(7.6, 4.6 if curve.accuracies else 3.6), layout="constrained")
    if curve.accuracies:
        losses, accuracies = figure.subplots(2, sharex=True, height_ratios=[3, 1])
        _dress(accuracies, "learning rate", "accuracy (%)")
        _draw_accuracies(accuracies, curve, decision)
    else:
        losses = figure.add_subplot()
    _dress(losses, "" if curve.accuracies else "learning rate", "loss (nats)")
    losses.set_xscale("log" if curve.mode == "exponential" else "linear")
    _draw_range_test(losses, curve, decision)
    losses.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _draw_range_test(axes: Axes, curve: Curve, decision: Decision) -> None:
    axes.plot(curve.lrs, curve.losses, color=FAINT, lw=0.7, alpha=0.6, label="loss")
    axes.plot(curve.lrs, curve.smoothed, color=INK, lw=2, label="smoothed")
    start = max(curve.smoothed[: max(1, len(curve.lrs) // 2)])
    axes.set_ylim(0.9 * min(curve.losses), 1.4 * start)
    axes.axvline(decision.lr, color=INK, lw=1, label=f"taken: {decision.lr:.2g}")
    if wanders := decision.spread.get("valley"):
        axes.axvspan(*wanders, color=FIRST, alpha=0.12, lw=0, label="valley wanders with noise")
    for place, (name, colour) in enumerate(MARKS.items()):
        rate = decision.suggestions.get(name)
        if rate is not None:  # dashes are offset, so that equal suggestions both show
            axes.axvline(rate, color=colour, lw=1.6, ls=(4 * place, (4, 4)), label=f"{name} {rate:.2g}")


def _draw_accuracies(axes: Axes, curve: Curve, decision: Decision) -> None:
    right = 100 * np.array(curve.accuracies)
    axes.plot(curve.lrs, right, color=FAINT, lw=0.7, alpha=0.6)
    axes.plot(curve.lrs, centred_means(right, max(1, len(right) // 10)), color=INK, lw=2)
    base, highest = decision.base_lr, decision.suggestions.get("clr")
    if base and highest:
        axes.axvspan(base, highest, color=THIRD, alpha=0.15, lw=0, label=f"clr {base:.2g} to {highest:.2g}")
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _plot(x: str, y: str, width: float = 4.6, height: float = 2.9) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    _dress(axes, x, y)
    return figure, axes


def _dress(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, alpha=0.25, lw=0.6)


def _epoch_ends(records: list[EpochRecord]) -> list[int]:
    ends, total = [], 0
    for record in records:
        total += len(record.step_losses)
        ends.append(total)
    return ends


@contextmanager
def _style() -> Iterator[None]:
    style: Any = {
        **dict.fromkeys(["text.color", "axes.labelcolor", "xtick.color", "ytick.color"], INK),
        "axes.edgecolor": FAINT,
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "lines.linewidth": 1.8,
        "lines.markersize": 4,
    }
    with matplotlib.rc_context(style):
        yield


def _svg(figure: Figure, name: str) -> str:
    """`name` keeps the ids of one page's drawings apart, and the same from run to run."""
    target = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    return text[text.index("<svg") :]
