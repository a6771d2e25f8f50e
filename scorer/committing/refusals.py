"""Why a run is not accepted, or is held back from latest.json: each rule has its reason in words, or None."""

import json
from typing import Final

from fovea.errors import DataInvalid, ObjectMissing
from fovea.stores.folder import Folder
from scorer.committing.totals import Totals
from scorer.files import layout
from scorer.files.latest import read_latest
from scorer.files.plan import Plan
from scorer.files.summary import DRIFTS, DriftScore, RunSummary

TOO_FAR: Final = {
    "classes": "its classes are",
    "confidence": "the probabilities of its best labels are",
    "abstentions": "its share of abstentions is",
}


def too_many_bad(totals: Totals, max_bad_fraction: float) -> str | None:
    """More of the images are not ok than may be."""
    if totals.bad_images <= max_bad_fraction * totals.images:
        return None
    bad = ", ".join(f"{count} {status}" for status, count in totals.statuses.most_common() if status != "ok")
    return (
        f"{totals.bad_images} of {totals.images} images are not ok ({bad}), more than --max-bad-fraction "
        f"{max_bad_fraction:g}; its {layout.QUARANTINE} and {layout.SUMMARY_PAGE} show them; to accept them, "
        "run again with this --run-id and a higher --max-bad-fraction"
    )


def empty_run(output: Folder, plan: Plan) -> str | None:
    """A run without images after one that has some is rather a wrong prefix, or a disk that is not mounted.

    None also where latest.json names no other run. Raises DataInvalid when that run cannot be understood.
    """
    latest = read_latest(output)
    if plan.images or latest is None or latest.run == plan.spec.run:
        return None
    path = f"{layout.run_folder(latest.run)}/{layout.SUMMARY}"
    try:
        images = int(json.loads(output.read(path))["images"])
    except ObjectMissing:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataInvalid(f"{output.uri}/{path}: not a run's summary: {error}") from error
    if not images:
        return None
    return (
        f"it has no image, and the last run, {latest.run}, has {images}: latest.json stays; to accept that, "
        "run again with this --run-id and --max-bad-fraction 1"
    )


def too_far(summary: RunSummary, max_drift: float | None) -> str | None:
    """Something drifted further than `max_drift`, and than by chance alone."""
    if max_drift is None:
        return None
    for what in DRIFTS.values():
        drift, name = _limited(summary, what)
        if drift and drift.psi > max(max_drift, drift.by_chance):
            return (
                f"{TOO_FAR[what]} too far from {name}: PSI {drift.psi:g} (by chance up to "
                f"{drift.by_chance:g}), more than --max-drift {max_drift:g}; the run is written, but "
                f"{layout.LATEST} stays"
            )
    return None


def _limited(summary: RunSummary, what: str) -> tuple[DriftScore | None, str]:
    """The drift from the last run, or where that tells nothing from the held-out images; and their name."""
    others = ((summary.last, "the last run's"), (summary.held_out, "what the held-out images gave"))
    for other, name in others:
        if other and (drift := other.drifts.get(what)):
            return drift, name
    return None, ""
