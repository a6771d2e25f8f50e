"""How the network learned: loss, accuracy and learning rate by optimizer step."""

from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes

from trainer.learning_rate.range_test import smooth
from trainer.report.drawing import FAINT, FIRST, SECOND, THIRD, as_svg, house_style, plot
from trainer.runs.history import EpochRecord

MOST_POINTS: Final = 500
"""More steps than this are put together with their neighbours: a drawing weighs by its points."""

Values = npt.NDArray[np.float64]


def draw_losses(records: list[EpochRecord]) -> Markup:
    """Training loss by step, held-out loss at the end of each epoch."""
    losses = [loss for record in records for loss in record.step_losses]
    with house_style():
        figure, axes = plot("optimizer step", "loss (nats)", 3.9, 2.8)
        _draw_band(axes, losses)
        steps, means = _means(smooth(losses, 0.9))
        axes.plot(steps, means, color=FIRST, label="training")
        heldout = [record.heldout_loss for record in records]
        axes.plot(_epoch_ends(records), heldout, "o-", color=SECOND, label="held out")
        axes.legend(frameon=False)
        end = f" The held-out loss ended at {heldout[-1]:.4f}." if heldout else ""
        return as_svg(figure, "losses", f"Training loss by step and held-out loss by epoch.{end}")


def draw_accuracy(records: list[EpochRecord]) -> Markup:
    """Of the held-out images, at the end of each epoch; or their mean average precision, of several labels an
    image."""
    of_labels = any(record.heldout_map is not None for record in records)
    accuracies = [
        100 * (record.heldout_accuracy if record.heldout_map is None else record.heldout_map)
        for record in records
    ]
    with house_style():
        what = "mAP" if of_labels else "accuracy"
        figure, axes = plot("optimizer step", f"held-out {what} (%)", 3.9, 2.8)
        axes.plot(_epoch_ends(records), accuracies, "o-", color=THIRD)
        axes.set_xlim(0, None)
        end = f" It ended at {accuracies[-1]:.2f} %." if accuracies else ""
        return as_svg(figure, "accuracy", f"Held-out {what} at the end of each epoch.{end}")


def draw_rates(records: list[EpochRecord]) -> Markup:
    rates = [rate for record in records for rate in record.step_lrs]
    with house_style():
        figure, axes = plot("optimizer step", "learning rate", 3.9, 2.8)
        steps, means = _means(rates)
        axes.plot(steps, means, color=FIRST)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        end = f" Its highest value is {max(rates):.2g}." if rates else ""
        return as_svg(figure, "rates", f"Learning rate of the head by step.{end}")


def _draw_band(axes: Axes, values: list[float]) -> None:
    """The values as they came, or what they lie between."""
    if len(values) <= MOST_POINTS:
        axes.plot(range(1, len(values) + 1), values, color=FAINT, lw=0.7, alpha=0.6)
        return
    groups = np.array_split(np.array(values), MOST_POINTS)
    lows, highs = [group.min() for group in groups], [group.max() for group in groups]
    axes.fill_between(_centres(groups), lows, highs, color=FAINT, alpha=0.4, lw=0)


def _means(values: list[float]) -> tuple[Values, Values]:
    """Steps, counted from 1, and values; neighbours put together where there are many."""
    groups = np.array_split(np.array(values), min(MOST_POINTS, max(1, len(values))))
    return _centres(groups), np.array([group.mean() for group in groups if len(group)])


def _centres(groups: list[Values]) -> Values:
    ends = np.cumsum([len(group) for group in groups if len(group)])
    sizes = np.array([len(group) for group in groups if len(group)])
    return ends - (sizes - 1) / 2


def _epoch_ends(records: list[EpochRecord]) -> list[int]:
    return list(accumulate(len(record.step_losses) for record in records))
