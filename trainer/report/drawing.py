"""Charts as SVG that follows the page's light or dark theme: what all of them share."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT, FIRST, SECOND, THIRD, FOURTH = "#1b2430", "#8a94a3", "#2563eb", "#d9480f", "#0a8f6a", "#9333ea"
VARIABLES: Final = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    THIRD: "var(--third)",
    FOURTH: "var(--fourth)",
}
"""Colours in the drawing -> the page's CSS variables."""
UNSAID: Final = ("Date", "Creator", "Format", "Type")
"""What would else stand in each drawing about itself."""
WIDTH, HEIGHT = 4.6, 2.9
"""Inches, of which a page on a telephone shows most: their ten points stay legible there."""


def plot(x: str, y: str, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty chart with its axes named."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    dress(axes, x, y)
    return figure, axes


def dress(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, alpha=0.25, lw=0.6)


@contextmanager
def house_style() -> Iterator[None]:
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


def as_svg(figure: Figure, name: str, shows: str) -> Markup:
    """`name` keeps the ids of one page's drawings apart, and the same from run to run; `shows` is for those
    who cannot see it."""
    target = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(target, format="svg", transparent=True, metadata=dict.fromkeys(UNSAID))
    text = target.getvalue()
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    drawn = text[text.index("<svg") + len("<svg") :]
    return Markup(f'<svg role="img" aria-label="{escape(shows)}"{drawn}')  # noqa: S704 - made here, of numbers
