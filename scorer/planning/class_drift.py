"""Which classes drift, as the last run tells it."""

import logging

import numpy as np

from fovea.errors import DataInvalid, ObjectMissing
from fovea.model.distance import Selections, drifting_classes, drifting_selections
from fovea.stores.folder import Folder
from scorer.files.latest import read_latest
from scorer.files.summary import RunSummary, read_summary

logger = logging.getLogger(__name__)


def drifting_labels(output: Folder) -> tuple[str, ...]:
    """Those of the run that latest.json names, sorted; none where there is no such run, or it cannot tell."""
    try:
        latest = read_latest(output)
        return () if latest is None else _drifting(read_summary(output, latest.run))
    except (DataInvalid, ObjectMissing) as error:
        logger.warning("it is not known which classes drift: %s", error)
        return ()


def _drifting(summary: RunSummary) -> tuple[str, ...]:
    held_out = summary.held_out.labels if summary.held_out else {}
    labels = sorted({*summary.labels, *held_out})
    seen, reference = (
        np.array([counts.get(label, 0) for label in labels], np.int64)
        for counts in (summary.labels, held_out)
    )
    if summary.labelled and summary.held_out:
        sizes = summary.labelled.images, summary.held_out.images
        pairs = map(Selections, (seen, reference), sizes)
        return tuple(labels[each] for each in drifting_selections(*pairs)) if labels and all(sizes) else ()
    if len(labels) < 2 or not seen.any() or not reference.any():
        return ()
    return tuple(labels[each] for each in drifting_classes(seen, reference))
