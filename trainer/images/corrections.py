"""Corrections: CSV files that say what images of a source really show, or that they are to be left out."""

import csv
import difflib
import io
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import BaseModel

from fovea.errors import DataInvalid
from fovea.stores.storage import open_folder
from trainer.images.labels import fold_label, normal_label
from trainer.images.listing import Sample

KEEP: Final = "keep"
RELABEL: Final = "relabel"
LEAVE_OUT: Final = "leave out"
DECISIONS: Final = (KEEP, RELABEL, LEAVE_OUT)
COLUMNS: Final = ("path", "label", "decision", "was", "probability", "rank")
"""As `labels` writes them. Only the first two have to be there, and only the first three are read."""


@dataclass(frozen=True)
class Correction:
    """A row: what the image that is called `path` in its source is to be."""

    path: str
    label: str
    decision: str
    place: str
    """file and line, for a person"""


class CorrectionsRecord(BaseModel, frozen=True):
    """What corrections changed of the images that are used."""

    files: tuple[str, ...]
    labels: int
    """images that have another label"""
    left_out: int

    def __str__(self) -> str:
        labels = "1 label is" if self.labels == 1 else f"{self.labels:,} labels are"
        images = "1 image is" if self.left_out == 1 else f"{self.left_out:,} images are"
        return f"{labels} corrected and {images} left out by {' and '.join(self.files)}"


@dataclass(frozen=True)
class Corrections:
    """The last row of each image."""

    files: tuple[str, ...] = ()
    last: Mapping[str, Correction] = field(default_factory=dict)

    def applied(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those that are not left out, each with its right label, in their order."""
        return [changed for sample in samples if (changed := self._apply(sample)) is not None]

    def record(self, samples: Sequence[Sample]) -> CorrectionsRecord | None:
        """What becomes of these; None where nothing was given to correct them by."""
        changed = [self._apply(sample) for sample in samples]
        labels = sum(
            after is not None and after.label != before.label
            for before, after in zip(samples, changed, strict=True)
        )
        return (
            CorrectionsRecord(files=self.files, labels=labels, left_out=changed.count(None))
            if self.files
            else None
        )

    def is_kept(self, sample: Sample) -> bool:
        """Whether somebody looked at it and let it be."""
        row = self.last.get(_key(str(sample)))
        return row is not None and row.decision == KEEP

    def _apply(self, sample: Sample) -> Sample | None:
        row = self.last.get(_key(str(sample)))
        if row is None:
            return sample
        return None if row.decision == LEAVE_OUT else replace(sample, label=row.label)


def read_corrections(
    files: Sequence[str], data: str, samples: Sequence[Sample], labels: Iterable[str]
) -> Corrections:
    """Of the images `samples`, which are called so in `data`, and have or may have these labels.

    Raises DataInvalid, with the line, for a row that names none of the images or two, or a label that is none
    of theirs; Unavailable when a bucket cannot be reached.
    """
    places: dict[str, set[str]] = {}
    for sample in samples:
        places.setdefault(_key(str(sample)), set()).add(str(sample.path))
    known = {*labels, *(sample.label for sample in samples)}
    rows = {}
    for file in files:
        for row in _read(file):
            _check_path(row, places, data)
            _check_label(row, known, data)
            rows[_key(row.path)] = row
    return Corrections(tuple(files), rows)


def _key(path: str) -> str:
    """The same for a name however it was typed: a Mac's archive decomposes what a table composes."""
    return unicodedata.normalize("NFC", path.strip()).removeprefix("./")


def _read(file: str) -> Iterator[Correction]:
    folder, _, name = file.rpartition("/")
    data = open_folder(folder or ("/" if file.startswith("/") else ".")).read(name)
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        if not {"path", "label"} <= set(rows.fieldnames or ()):
            header = ",".join(rows.fieldnames or ())[:80]
            raise DataInvalid(
                f"{file}: its first line should be `path,label` or `path,label,decision`, not `{header}`"
            )
        for row in rows:
            yield _row(row, f"{file}: line {rows.line_num}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataInvalid(f"{file}: not a CSV file in UTF-8: {error}") from error


def _row(row: Mapping[str, str | None], place: str) -> Correction:
    path, label = row["path"] or "", normal_label(row["label"] or "")
    decision = (row.get("decision") or "").strip() or RELABEL
    if decision not in DECISIONS:
        raise DataInvalid(
            f"{place}: a decision is {', '.join(DECISIONS[:-1])} or {LEAVE_OUT}, not {decision!r}"
        )
    if not label and decision != LEAVE_OUT:
        raise DataInvalid(
            f"{place}: {path!r} has no label; to leave it out, its decision should be {LEAVE_OUT!r}"
        )
    return Correction(path, label, decision, place)


def _check_path(row: Correction, places: Mapping[str, set[str]], data: str) -> None:
    found = places.get(_key(row.path), set())
    if not found:
        example = next(iter(places), "")
        raise DataInvalid(
            f"{row.place}: there is no image {row.path!r} in {data}; they are called as {example!r} is"
        )
    if len(found) > 1:
        raise DataInvalid(f"{row.place}: there are {len(found)} images {row.path!r} in {data}")


def _check_label(row: Correction, known: Iterable[str], data: str) -> None:
    if row.decision == LEAVE_OUT or row.label in known:
        return
    folded = {fold_label(label): label for label in sorted(known)}
    near = difflib.get_close_matches(fold_label(row.label), folded, n=1)
    meant = f"; {folded[near[0]]!r} may be meant" if near else ""
    raise DataInvalid(f"{row.place}: no image of {data} has the label {row.label!r}{meant}")
