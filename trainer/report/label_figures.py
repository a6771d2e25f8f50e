"""Of a multi-label model: each label's curve, and which labels come together, in truth and as it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from fovea.model.measured import LabelScore
from fovea.model.task import Selected
from trainer.evaluate.label_metrics import precision_recall
from trainer.evaluate.metrics import Bin, Logits, Targets, bins_of
from trainer.report.drawing import FAINT, FIRST, INK, as_svg, house_style, plot

MOST_POINTS: Final = 120
"""Of a curve: a drawing weighs by its points."""
MOST_CURVES: Final = 24
LARGEST_TABLE: Final = 20
"""Labels of which the pairs are a table; of more, the pairs that differ most are listed alone."""
MOST_PAIRS: Final = 12


@dataclass(frozen=True)
class LabelRow:
    """How one label does."""

    label: str
    trained: int
    """images to train on that have it"""
    score: LabelScore
    curve: Markup | None = None


def list_labels(
    scores: dict[str, LabelScore], trained: dict[str, int], probabilities: Logits, targets: Targets
) -> list[LabelRow]:
    """The weakest by average precision first, with their curves; those that no image has last.

    probabilities, targets (0, 1) [n, labels], in the order of `scores`.
    """
    order = sorted(
        enumerate(scores.items()),
        key=lambda entry: (entry[1][1].average_precision is None, entry[1][1].average_precision or 0.0),
    )
    rows: list[LabelRow] = []
    for place, (label, score) in order:
        is_drawn = score.images and len(rows) < MOST_CURVES
        curve = (
            draw_curve(place, label, score, probabilities[:, place], targets[:, place]) if is_drawn else None
        )
        rows.append(LabelRow(label, trained.get(label, 0), score, curve))
    return rows


def draw_curve(place: int, label: str, score: LabelScore, probabilities: Logits, targets: Targets) -> Markup:
    """Precision against recall, the threshold on it: probabilities and targets [n]."""
    precision, recall, _ = precision_recall(probabilities, targets)
    thin = np.unique(np.linspace(0, len(recall) - 1, min(MOST_POINTS, len(recall))).astype(int))
    with house_style():
        figure, axes = plot("found (recall, %)", "right (precision, %)", 3.2, 2.4)
        axes.axhline(100 * score.images / len(targets), color=FAINT, lw=1, ls=(0, (4, 4)))
        axes.step(100 * recall[thin], 100 * precision[thin], where="pre", color=FIRST)
        if score.selected:
            axes.plot([100 * score.recall], [100 * score.precision], "o", color=INK, markersize=7)
        axes.set(xlim=(-2, 103), ylim=(-2, 105))
        return as_svg(
            figure, f"curve-{place}", f"Precision against recall of {label}; the table has its figures."
        )


@dataclass(frozen=True)
class LabelPair:
    """Two labels that images have together; or one, twice the same."""

    first: str
    second: str
    truly: int
    """images that have both"""
    said: int
    """images for which both are selected"""

    @property
    def share(self) -> float:
        """How far apart, for the page's colours: 0 to 1."""
        return abs(self.said - self.truly) / max(self.said, self.truly, 1)


def pair_up(labels: Sequence[str], chosen: Selected, targets: Targets) -> list[list[LabelPair]]:
    """[labels][labels], of arrays [n, labels]."""
    said = chosen.astype(np.int64).T @ chosen.astype(np.int64)
    truly = targets.T @ targets
    return [
        [LabelPair(a, b, int(truly[i, j]), int(said[i, j])) for j, b in enumerate(labels)]
        for i, a in enumerate(labels)
    ]


def most_apart(pairs: Sequence[Sequence[LabelPair]]) -> list[LabelPair]:
    """Of two different labels: where the images that have both and those said to are furthest apart."""
    above = [pair for row, of in enumerate(pairs) for pair in of[row + 1 :] if pair.said != pair.truly]
    return sorted(above, key=lambda pair: -abs(pair.said - pair.truly))[:MOST_PAIRS]


def decision_bins(probabilities: Logits, targets: Targets) -> list[Bin]:
    """What is said against how often it is so, of all decisions: an image and a label each."""
    return bins_of(probabilities.ravel(), targets.ravel())
