"""summary.html: the summary of a run as a page to look at, in one file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2

from fovea.model.measured import CONFIDENCE_BINS
from fovea.pages import environment
from scorer.committing.drift import NO_CHANGE, worst
from scorer.committing.thumbnails import Thumbnail

OTHERS: Final = ("last", "held_out")
"""What a run is shown beside, as summary.json calls it."""
SHOWN_CLASSES: Final = 40


def summary_page(summary: dict[str, Any], thumbnails: Sequence[Thumbnail]) -> bytes:
    """`summary` is what summary.json holds; `thumbnails` are of the first examples of changed labels."""
    classes = _classes(summary)
    widest = max((max(row["share"], row["last"]) for row in classes), default=0) or 1
    page = _templates().get_template("summary.html.j2")
    text = page.render(
        run=summary,
        last=summary["last"],
        bad=summary["images"] - summary["statuses"].get("ok", 0),
        classes=classes[:SHOWN_CLASSES],
        widest=widest,
        more_classes=max(0, len(classes) - SHOWN_CLASSES),
        histogram=_histogram(summary),
        examples=_examples(summary, thumbnails),
    )
    return text.encode()


def _templates() -> jinja2.Environment:
    templates = environment(Path(__file__).parent)
    templates.filters.update(percent=_percent, change=_change, worst=worst)
    return templates


def _classes(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each class with its shares, those of most images first."""
    last, held_out = ((summary[name] or {}).get("labels", {}) for name in OTHERS)
    counts: dict[str, int] = summary["labels"]
    rows = [
        {
            "label": label,
            "images": counts.get(label, 0),
            "share": _share(counts, label),
            "last": _share(last, label),
            "held_out": _share(held_out, label),
        }
        for label in {**counts, **last, **held_out}
    ]
    return sorted(rows, key=lambda row: (-row["images"], -row["last"], row["label"]))


def _examples(
    summary: dict[str, Any], thumbnails: Sequence[Thumbnail]
) -> list[tuple[dict[str, Any], Thumbnail]]:
    found = summary["last"]["changes"]["examples"] if summary["last"] else []
    return list(zip(found, thumbnails, strict=False))


def _histogram(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The bars of this run and the lines of others as shares of the highest one."""
    shares = {"ours": _shares(summary["confidence"]["bins"])}
    for name in OTHERS:
        confidence = (summary[name] or {}).get("confidence")
        shares[name] = _shares(confidence["bins"] if confidence else [0] * len(shares["ours"]))
    top = max(map(max, shares.values())) or 1
    return [
        {
            "range": f"{place / CONFIDENCE_BINS:g} to {(place + 1) / CONFIDENCE_BINS:g}",
            "shares": dict(zip(shares, found, strict=True)),
            "heights": {name: round(share / top, 4) for name, share in zip(shares, found, strict=True)},
        }
        for place, found in enumerate(zip(*shares.values(), strict=True))
    ]


def _shares(bins: list[int]) -> list[float]:
    return [count / (sum(bins) or 1) for count in bins]


def _share(counts: dict[str, int], label: str) -> float:
    return round(counts.get(label, 0) / (sum(counts.values()) or 1), 6)


def _change(drift: dict[str, Any]) -> str:
    """A drift in words."""
    if drift["word"] != "none":
        return "some change" if drift["word"] == "some" else "a large change"
    return "no change to speak of" if drift["psi"] < NO_CHANGE else "no more change than chance may give"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
