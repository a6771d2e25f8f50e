"""What the rows of a table tell together, where an image may have several labels or seems to."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.printable import printable
from trainer.images.labelling import SEVERAL, SeveralLabels, joined
from trainer.images.listing import Listing, Sample
from trainer.images.parts import TRAIN

logger = logging.getLogger(__name__)

SEPARATORS: Final = ";|,/\t"
"""That labels of one image are likely to stand between."""
HARDLY_IN_A_NAME: Final = ";|"
"""Those of them that a single label seldom has."""


def together(several: SeveralLabels, listing: Listing) -> Listing:
    """With one sample of each image: a row for each of its labels is a common form, so rows of one path in
    the column `labels` are one set. Raises DataInvalid where they are in two parts or groups, and where the
    labels are columns, for there a 0 would contradict a 1."""
    every = listing.all()
    _warn_of_one_label(several, every)
    found: dict[Path, list[Sample]] = defaultdict(list)
    for _, sample in _with_parts(listing):
        found[sample.path].append(sample)
    again = [rows for rows in found.values() if len(rows) > 1]
    if not again:
        return listing
    _check_rows(several, listing, again)
    logger.info(
        "%s: %d images have several rows, whose labels are taken together; the first is %s",
        several.path,
        len(again),
        again[0][0],
    )
    sets = {path: tuple(sorted({n for row in rows for n in row.named})) for path, rows in found.items()}
    return replace(
        listing,
        train=_once(listing.train, sets),
        heldout={part: _once(samples, sets) for part, samples in listing.heldout.items()},
        unassigned=_once(listing.unassigned, sets),
    )


def _with_parts(listing: Listing) -> Iterator[tuple[str, Sample]]:
    for part, samples in (("", listing.unassigned), (TRAIN, listing.train), *listing.heldout.items()):
        for sample in samples:
            yield part, sample


def _check_rows(several: SeveralLabels, listing: Listing, again: list[list[Sample]]) -> None:
    if several.columns:
        raise DataInvalid(
            f"{several.path}: {again[0][0]} has {len(again[0])} rows; with a column for each "
            "label an image has one"
        )
    places: dict[Path, set[tuple[str, str | None]]] = defaultdict(set)
    for part, sample in _with_parts(listing):
        places[sample.path].add((part, sample.group))
    for rows in again:
        if len(places[rows[0].path]) > 1:
            raise DataInvalid(
                f"{several.path}: the rows of {rows[0]} are in two parts or groups; all rows of "
                "an image belong into one"
            )


def _once(samples: Iterable[Sample], sets: dict[Path, tuple[str, ...]]) -> list[Sample]:
    first: dict[Path, Sample] = {}
    for sample in samples:
        first.setdefault(sample.path, sample)
    return [replace(s, label=joined(sets[path]), labels=sets[path]) for path, s in first.items()]


def _warn_of_one_label(several: SeveralLabels, rows: Iterable[Sample]) -> None:
    """Where no row has two labels, and one looks as if it were several."""
    named = [sample.named for sample in rows]
    if several.columns or any(len(labels) > 1 for labels in named):
        return
    for label in (label for labels in named for label in labels):
        if held := next((sign for sign in SEPARATORS if sign in label), None):
            logger.warning(
                "%s: no row has two labels, but one has %r: --label-separator %r if that is several",
                several.path,
                printable(label),
                held,
            )
            return


def warn_of_several(path: Path, names: Iterable[str], rows: Iterable[Sample]) -> None:
    """Where the labels of a table of one label an image look as if they were several."""
    if SEVERAL in names:
        logger.warning("%s: its column `label` is read and `%s` is not; --task multi reads it", path, SEVERAL)
    found = {row.label for row in rows if any(sign in row.label for sign in HARDLY_IN_A_NAME)}
    if found:
        logger.warning(
            "%s: classes that look like several labels: %d; the first is %r: --task multi reads them in a "
            "column `%s`",
            path,
            len(found),
            printable(min(found)),
            SEVERAL,
        )
