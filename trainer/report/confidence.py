"""How far the probabilities can be believed: the reliability diagram, and what abstaining buys."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from trainer.evaluate.metrics import Bin, Coverage, accuracy_interval
from trainer.report.drawing import FAINT, FIRST, INK, SECOND, THIRD, as_svg, house_style, plot

MOST_POINTS: Final = 400
LARGEST_MARKER: Final = 160.0
SHARES: Final = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.5)


def draw_reliability(before: list[Bin], after: list[Bin]) -> Markup:
    """Accuracy against confidence; a larger point stands for more images."""
    with house_style():
        figure, axes = plot("what it says (probability)", "how often it is right", 4.6, 3.4)
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (4, 4)))
        most = max(b.images for b in (*before, *after))
        for bins, colour, label in ((before, SECOND, "before"), (after, FIRST, "after")):
            _draw_bins(axes, bins, most, colour, label)
        axes.set(xlim=(-0.02, 1.05), ylim=(-0.02, 1.07))
        axes.legend(frameon=False, loc="upper left")
        return as_svg(
            figure,
            "reliability",
            "Accuracy against probability, before and after calibration; a table follows.",
        )


def _draw_bins(axes: Axes, bins: list[Bin], most: int, colour: str, label: str) -> None:
    x, y = [b.confidence for b in bins], [b.accuracy for b in bins]
    ranges = [accuracy_interval(round(b.accuracy * b.images), b.images) for b in bins]
    axes.vlines(x, *zip(*ranges, strict=True), color=colour, lw=1.2, alpha=0.55)
    sizes = [max(14.0, LARGEST_MARKER * b.images / most) for b in bins]
    axes.scatter(x, y, s=sizes, color=colour, alpha=0.75, lw=0, zorder=3, label=label)


def draw_coverage(coverage: Coverage, threshold: float, target: float) -> Markup:
    """Accuracy of what is answered against the share that is answered, the chosen threshold marked."""
    share, right = 100 * coverage.share, 100 * coverage.accuracy
    thin = np.unique(np.linspace(0, len(share) - 1, min(MOST_POINTS, len(share))).astype(int))
    with house_style():
        figure, axes = plot("images that it answers (%)", "of these, right (%)", 4.6, 3.4)
        axes.axhline(100 * target, color=FAINT, lw=1, ls=(0, (4, 4)), label=f"wanted: {100 * target:g} %")
        axes.plot(share[thin], right[thin], color=THIRD)
        chosen = np.flatnonzero(coverage.confidence >= threshold)
        if len(chosen):
            x, y = share[chosen[-1]], right[chosen[-1]]
            label = f"chosen: from {threshold:.3g} on" if threshold else "chosen: all"
            axes.plot([x, x], [0, y], color=INK, lw=1)
            axes.plot([x], [y], "o", color=INK, markersize=7, label=label)
        span = 1.5 * max(1.0, 100 - min(right.min(), 100 * target))
        axes.set(xlim=(0, 102), ylim=(max(0.0, 100 - span), 100 + 0.03 * span))
        axes.legend(frameon=False, loc="lower left")
        return as_svg(figure, "coverage", "Accuracy against the share of images answered; a table follows.")


@dataclass(frozen=True)
class Step:
    """What comes of answering a share of the images: those it is surest of."""

    share: float
    confidence: float
    accuracy: float


def list_steps(coverage: Coverage) -> list[Step]:
    """Where all images are answered, where 99 % are, and so on."""
    places = [int(np.searchsorted(coverage.share, share - 1e-9)) for share in SHARES]
    return [
        Step(float(coverage.share[p]), float(coverage.confidence[p]), float(coverage.accuracy[p]))
        for p in dict.fromkeys(places)
    ]
