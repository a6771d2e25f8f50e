"""The model beside the version that was the latest, on the same images: what corrected labels bought."""

from dataclasses import dataclass
from typing import Final

from trainer.compare.paired import Paired
from trainer.compare.weighing import Weighed

MOST_CLASSES: Final = 500
"""Rows of the table, the most improved first."""


@dataclass(frozen=True)
class ClassBeside:
    label: str
    recall: Paired


@dataclass(frozen=True)
class BesideLatest:
    """Of the images that the figures are told of."""

    version: int
    overall: Paired
    classes: list[ClassBeside]
    """that both have and there are images of"""
    only_new: list[str]
    """classes that the version lacks, whose images are not among these"""


@dataclass(frozen=True)
class BesideContents:
    """None where there was no version yet, or nothing was compared."""

    beside: BesideLatest | None = None
    most_classes_beside: int = MOST_CLASSES


def contents_beside_latest(weighed: Weighed | None, labels: tuple[str, ...]) -> BesideContents:
    """`labels` are the new model's."""
    if weighed is None or weighed.against is None or weighed.found is None:
        return BesideContents()
    found = weighed.found
    rows = [ClassBeside(label, row) for label, row in found.by_class.items()]
    rows.sort(key=lambda row: (-row.recall.difference, row.label))
    only_new = [label for label in labels if label not in weighed.common]
    return BesideContents(BesideLatest(weighed.against, found.overall, rows, only_new))
