"""The range test's curve with every suggestion marked, for the page and as lr_find.png."""

from pathlib import Path
from typing import Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.learning_rate.decision import Decision
from trainer.learning_rate.range_test import Curve
from trainer.learning_rate.suggestions import centred_means
from trainer.report.drawing import (
    FAINT,
    FIRST,
    FOURTH,
    INK,
    SECOND,
    THIRD,
    as_svg,
    dress,
    house_style,
    plot,
)

MARKS: Final = {"valley": FIRST, "steep": THIRD, "minimum": SECOND, "slide": FOURTH}
BESIDE: Final = {"frameon": False, "loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}


def write_curve(path: Path, decision: Decision) -> None:
    """lr_find.png, with a legend that names the rates."""
    with house_style():
        figure = _draw(decision, width=7.6)
        for axes in figure.axes:
            if axes.get_legend_handles_labels()[0]:
                axes.legend(**BESIDE)
        figure.savefig(path, dpi=150, facecolor="white")


def draw_curve(decision: Decision) -> Markup:
    """The same without the legend, for which the page has a table."""
    rates = ", ".join(f"{name} {rate:.2g}" for name, rate in decision.suggestions.items() if rate)
    shows = f"Loss against learning rate. Taken: {decision.lr:.2g}. Suggestions: {rates or 'none'}."
    with house_style():
        return as_svg(_draw(decision, width=4.8), "range-test", shows)


def _draw(decision: Decision, width: float) -> Figure:
    """The losses with the suggestions that they give; the accuracies, if there are any, below them."""
    curve = decision.curve
    if curve is None or not curve.lrs:
        return plot("learning rate", "loss (nats)", width, 3.6)[0]
    figure = Figure(figsize=(width, 4.6 if curve.accuracies else 3.6), layout="constrained")
    if curve.accuracies:
        losses, accuracies = figure.subplots(2, sharex=True, height_ratios=[3, 1])
        dress(accuracies, "learning rate", "accuracy (%)")
        _draw_accuracies(accuracies, curve, decision)
    else:
        losses = figure.add_subplot()
    dress(losses, "" if curve.accuracies else "learning rate", "loss (nats)")
    losses.set_xscale("log" if curve.mode == "exponential" else "linear")
    _draw_losses(losses, curve, decision)
    return figure


def _draw_losses(axes: Axes, curve: Curve, decision: Decision) -> None:
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
