"""The report's charts, as SVG that follows the page's light or dark theme, and lr_find.png."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.decision import Decision
from trainer.history import EpochRecord
from trainer.lr_finder import smooth

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
    figure, axes = _plot("learning rate", "loss (nats)", width=7.6, height=3.6)
    curve = decision.curve
    if curve is None or not curve.lrs:
        return figure
    axes.plot(curve.lrs, curve.losses, color=FAINT, lw=0.7, alpha=0.6, label="loss")
    axes.plot(curve.lrs, curve.smoothed, color=INK, lw=2, label="smoothed")
    axes.set_xscale("log")
    start = max(curve.smoothed[: max(1, len(curve.lrs) // 2)])
    axes.set_ylim(0.9 * min(curve.losses), 1.4 * start)
    axes.axvline(decision.lr, color=FIRST, lw=8, alpha=0.15, label=f"taken: {decision.lr:.2g}")
    for place, (name, rate) in enumerate(decision.suggestions.items()):
        if rate is not None:  # dashes are offset, so that equal suggestions both show
            axes.axvline(rate, color=MARKS[name], lw=1.6, ls=(4 * place, (4, 4)), label=f"{name} {rate:.2g}")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _plot(x: str, y: str, width: float = 4.6, height: float = 2.9) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, alpha=0.25, lw=0.6)
    return figure, axes


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
