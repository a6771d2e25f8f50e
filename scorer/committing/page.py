"""summary.html: the summary of a run as a page to look at, in one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import jinja2

from fovea.model.measured import CONFIDENCE_BINS
from fovea.pages import environment
from scorer.committing.drift import NO_CHANGE
from scorer.committing.thumbnails import Thumbnail
from scorer.files.summary import ChangedLabel, DriftScore, Labelled, RunSummary

SHOWN_CLASSES: Final = 40


def summary_page(summary: RunSummary, thumbnails: Sequence[Thumbnail]) -> bytes:
    """`thumbnails` are of the first examples of changed labels."""
    classes = _classes(summary)
    page = _templates().get_template("summary.html.j2")
    text = page.render(
        run=summary,
        last=summary.last,
        bad=summary.bad_images,
        classes=classes[:SHOWN_CLASSES],
        widest=max((max(row.share, row.last) for row in classes), default=0),
        more_classes=max(0, len(classes) - SHOWN_CLASSES),
        histogram=_histogram(summary),
        examples=_examples(summary, thumbnails),
    )
    return text.encode()


@cache
def _templates() -> jinja2.Environment:
    templates = environment(Path(__file__).parent)
    templates.filters.update(percent=_percent, change=_change)
    return templates


@dataclass(frozen=True)
class _ClassRow:
    """A class, with its share of this run's images and of the others'."""

    label: str
    images: int
    share: float
    last: float
    held_out: float


def _classes(summary: RunSummary) -> list[_ClassRow]:
    """Those of most images first."""
    counts = summary.labels
    last = summary.last.labels if summary.last else {}
    held_out = summary.held_out.labels if summary.held_out else {}
    ours = _images(summary.labelled, counts)
    before = _images(summary.last.labelled if summary.last else None, last)
    released = summary.held_out.images if summary.held_out else 0
    rows = [
        _ClassRow(
            label,
            counts.get(label, 0),
            _share(counts, label, ours),
            _share(last, label, before),
            _share(held_out, label, released),
        )
        for label in {**counts, **last, **held_out}
    ]
    return sorted(rows, key=lambda row: (-row.images, -row.last, row.label))


def _examples(summary: RunSummary, thumbnails: Sequence[Thumbnail]) -> list[tuple[ChangedLabel, Thumbnail]]:
    examples = summary.last.changes.examples if summary.last else ()
    return list(zip(examples, thumbnails, strict=False))


@dataclass(frozen=True)
class _Bar:
    """Of one bin, by whose images they are: ours, last, held_out."""

    range: str
    shares: dict[str, float]
    heights: dict[str, float]
    """as parts of the highest bar"""


def _histogram(summary: RunSummary) -> list[_Bar]:
    last = summary.last.confidence if summary.last else None
    held_out = summary.held_out.confidence if summary.held_out else None
    histograms = {"ours": summary.confidence, "last": last, "held_out": held_out}
    shares = {name: _shares(each.bins if each else _NO_BINS) for name, each in histograms.items()}
    top = max(map(max, shares.values())) or 1
    return [
        _Bar(
            f"{place / CONFIDENCE_BINS:g} to {(place + 1) / CONFIDENCE_BINS:g}",
            {name: each[place] for name, each in shares.items()},
            {name: each[place] / top for name, each in shares.items()},
        )
        for place in range(CONFIDENCE_BINS)
    ]


_NO_BINS: Final = (0,) * CONFIDENCE_BINS


def _shares(bins: Sequence[int]) -> list[float]:
    return [count / (sum(bins) or 1) for count in bins]


def _images(labelled: Labelled | None, labels: dict[str, int]) -> int:
    """Of what the shares are; of a multi-label model more than one label may be an image's."""
    return sum(labels.values()) if labelled is None else labelled.images


def _share(counts: dict[str, int], label: str, images: int) -> float:
    return counts.get(label, 0) / (images or 1)


def _change(drift: DriftScore) -> str:
    """A drift in words."""
    if drift.word != "none":
        return "some change" if drift.word == "some" else "a large change"
    return "no change to speak of" if drift.psi < NO_CHANGE else "no more change than chance may give"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
