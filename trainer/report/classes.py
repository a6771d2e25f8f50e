"""The table of classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from fovea.model.bundle import BundleContract
from trainer.evaluate.metrics import Targets
from trainer.images.audit import AuditRecord

MOST_ROWS: Final = 2000
"""On the page, the weakest: a row of the longest names weighs a kilobyte."""


@dataclass(frozen=True)
class ClassRow:
    """How one class does; shares in [0, 1], None where nothing was measured."""

    label: str
    trained: int
    """images to train on"""
    measured: int
    """images that its figures are of"""
    precision: float | None
    """of the images that were called so"""
    recall: float | None
    taken_for: str | None
    """what its images are most often mistaken for"""
    times: int


def list_classes(contract: BundleContract, audit: AuditRecord, counts: Targets) -> list[ClassRow]:
    """The weakest first, those that nothing is known of last. counts int64 [classes, classes]."""
    rows = list(_rows(contract, audit, counts))
    return sorted(rows, key=lambda row: (row.recall is None, row.recall or 0.0, -row.measured))


def _rows(contract: BundleContract, audit: AuditRecord, counts: Targets) -> Iterator[ClassRow]:
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    most, named = mistakes.argmax(1), counts.sum(0)
    for place, label in enumerate(contract.labels):
        measured = contract.metrics.per_class[label]
        times = int(mistakes[place, most[place]])
        yield ClassRow(
            label,
            audit.classes.get(label, {}).get("train", 0),
            measured.images,
            measured.precision if named[place] else None,
            measured.recall if measured.images else None,
            contract.labels[most[place]] if times else None,
            times,
        )
