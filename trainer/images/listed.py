"""Everything that --data names, listed: images, captured ones, and what corrections say of them."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.stores.storage import is_bucket
from trainer.images.captured import (
    CapturedImages,
    CapturesRecord,
    check_captures,
    fetch_captured,
    holds_captures,
)
from trainer.images.corrections import (
    LEAVE_OUT,
    Correctable,
    Correction,
    Corrections,
    CorrectionsRecord,
    contents_of,
    match_rows,
    read_rows,
)
from trainer.images.digests import content_digests
from trainer.images.digit_pairs import write_pairs
from trainer.images.digits import write_digits
from trainer.images.fetching import ETAGS_FOLDER, THREADS, Fetched, fetch
from trainer.images.folders import read_folder
from trainer.images.grouping import UNGROUPED, Grouping
from trainer.images.labelling import ONE_LABEL, Labelling
from trainer.images.labels import normal_label
from trainer.images.listing import Listing, Sample
from trainer.images.table import read_csv

logger = logging.getLogger(__name__)

MOST_LOST: Final = 0.1
"""Of the images that rows label by their content: when more are gone, somebody should hear of it."""


@dataclass(frozen=True)
class Listed:
    """Images as they were listed, and what corrections say of them."""

    listing: Listing
    right: Corrections
    labelled: tuple[Sample, ...]
    """captured ones, with the labels that they were given"""
    unlabelled: tuple[Sample, ...]
    captures: CapturesRecord | None

    @property
    def corrections(self) -> CorrectionsRecord | None:
        """Of what was listed."""
        return self.right.record(self.listing.all())


def list_all(
    data: str,
    corrections: Sequence[str],
    captures: Sequence[str],
    cache_dir: Path,
    labels: Sequence[str] = (),
    *,
    grouping: Grouping = UNGROUPED,
    every_capture: bool = False,
    labelling: Labelling = ONE_LABEL,
) -> Listed:
    """Raises DataInvalid where there is no image with a label."""
    check_captures(captures)
    if holds_captures(data):
        listing, captures = Listing(), (data, *captures)
    else:
        listing = _list(data, cache_dir, labels, grouping, labelling)
        if not listing.all():
            raise no_image(data, listing)
    rows = read_rows(corrections)
    named = contents_of(rows)
    by_content = _by_content(listing) if captures or named else {}
    found = CapturedImages()
    if captures:
        found = fetch_captured(captures, cache_dir, None if every_capture else named, by_content.keys())
    images = Correctable(listing.all(), found.samples, by_content)
    right = match_rows(corrections, rows, data, images, map(normal_label, labels))
    if captures:
        _warn_of_lost(rows, by_content.keys() | found.contents)
    labelled = right.labelled(found.samples)
    if grouping:
        labelled = [replace(sample, group=str(sample)) for sample in labelled]
    unlabelled = tuple(right.unlabelled(found.samples))
    left_out = len(found.samples) - len(labelled) - len(unlabelled)
    record = found.record(captures, len(labelled), left_out) if captures else None
    for told in (right.record(listing.all()), record):
        if told:
            logger.info("%s", told)
    if record and not labelled and not listing.all():
        raise DataInvalid(
            f"{data}: {record}; what a model answered is no label: give a CSV file of rows sha256/...,label "
            "by another --data"
        )
    return Listed(listing, right, tuple(labelled), unlabelled, record)


def _warn_of_lost(rows: Sequence[Correction], there: Collection[str]) -> None:
    """Nothing else fails where captures that somebody labelled are removed: models would slowly forget."""
    labelled = contents_of(row for row in rows if row.decision != LEAVE_OUT)
    lost = len(labelled.difference(there))
    if lost > MOST_LOST * len(labelled):
        logger.warning(
            "%d of %d images that were given labels by their content are in no capture any longer, and their "
            "labels teach nothing: keep captures that were labelled where nothing is removed "
            "(docs/loop.md#keep-what-was-labelled)",
            lost,
            len(labelled),
        )


def _by_content(listing: Listing) -> dict[str, list[Sample]]:
    """sha256, hexadecimal -> the images of it."""
    samples = listing.all()
    found: dict[str, list[Sample]] = {}
    for sample, digest in zip(samples, content_digests(samples, THREADS), strict=True):
        found.setdefault(digest, []).append(sample)
    return found


def _list(
    data: str,
    cache_dir: Path,
    known: Sequence[str] = (),
    grouping: Grouping = UNGROUPED,
    labelling: Labelling = ONE_LABEL,
) -> Listing:
    grouping.check_source(data)
    fetched = _local(data, cache_dir, labelling)
    if fetched.path.is_file():
        listing = read_csv(fetched.path, grouping.column, labelling)
    elif labelling.is_multi:
        raise DataInvalid(
            f"{data}: several labels an image are told by a CSV file path,labels, not by folders"
        )
    elif fetched.path.is_dir():
        ignored = frozenset([ETAGS_FOLDER]) if is_bucket(data) else frozenset[str]()
        listing = read_folder(fetched.path, data, known=known, ignored=ignored)
    else:
        raise DataInvalid(f"{data}: no such folder or CSV file (images are expected as {data}/CLASS/*.jpg)")
    for key, why in fetched.left_out:
        listing.passed_over.add(key, why)
    grouping.apply(listing)
    return listing


def _local(data: str, cache_dir: Path, labelling: Labelling) -> Fetched:
    if data == "digits":
        digits = write_digits(cache_dir / "digits")
        return Fetched(write_pairs(digits, cache_dir / "digit-pairs") if labelling.is_multi else digits)
    if not is_bucket(data):
        return Fetched(Path(data.removeprefix("file://")))
    return fetch(data, cache_dir)


def no_image(data: str, listing: Listing) -> DataInvalid:
    expected = "rows path,label" if data.endswith(".csv") else f"{data}/CLASS/*.jpg"
    return DataInvalid(f"{data}: there is no image (expected are {expected}){not_taken(listing)}")


def not_taken(listing: Listing) -> str:
    return f"; not taken: {listing.passed_over.line()}" if listing.passed_over.files else ""
