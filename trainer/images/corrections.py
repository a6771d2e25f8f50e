"""Corrections: CSV files that say what images of a source really show, or that they are to be left out."""

import csv
import difflib
import io
import logging
import re
import unicodedata
from collections import Counter
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
BY_CONTENT: Final = "sha256/"
"""What the path of an image begins with that is called by its content, as captured ones are; 64 hexadecimal
digits follow."""
_CONTENT: Final = re.compile(f"{BY_CONTENT}([0-9a-f]{{64}})")

logger = logging.getLogger(__name__)


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
    absent: int = 0
    """rows of captured images that are not there; written only where there are some"""

    def __str__(self) -> str:
        labels = "1 label is" if self.labels == 1 else f"{self.labels:,} labels are"
        images = "1 image is" if self.left_out == 1 else f"{self.left_out:,} images are"
        absent = f"; of {self.absent:,} rows no image of that content is there" if self.absent else ""
        return f"{labels} corrected and {images} left out by {' and '.join(self.files)}{absent}"


@dataclass(frozen=True)
class Corrections:
    """The last row of each image."""

    files: tuple[str, ...] = ()
    last: Mapping[str, Correction] = field(default_factory=dict)
    absent: int = 0
    """rows that call an image by its content, of which there is none"""

    def applied(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those that are not left out, each with its right label, in their order."""
        return [changed for sample in samples if (changed := self._apply(sample)) is not None]

    def record(self, samples: Sequence[Sample]) -> CorrectionsRecord | None:
        """What becomes of these; None where nothing was given to correct them by."""
        if not self.files:
            return None
        changed = [self._apply(sample) for sample in samples]
        labels = sum(
            after is not None and after.label != before.label
            for before, after in zip(samples, changed, strict=True)
        )
        absent = {"absent": self.absent} if self.absent else {}
        return CorrectionsRecord(files=self.files, labels=labels, left_out=changed.count(None), **absent)

    def is_kept(self, sample: Sample) -> bool:
        """Whether somebody looked at it and let it be."""
        row = self.last.get(_key(str(sample)))
        return row is not None and row.decision == KEEP

    def labelled(self, captured: Iterable[Sample]) -> list[Sample]:
        """Those captured images that somebody gave a label."""
        return self.applied(sample for sample in captured if _key(str(sample)) in self.last)

    def unlabelled(self, captured: Iterable[Sample]) -> list[Sample]:
        """Those that nobody said anything of."""
        return [sample for sample in captured if _key(str(sample)) not in self.last]

    def _apply(self, sample: Sample) -> Sample | None:
        row = self.last.get(_key(str(sample)))
        if row is None:
            return sample
        return None if row.decision == LEAVE_OUT else replace(sample, label=row.label)


@dataclass(frozen=True)
class Correctable:
    """The images that rows may name."""

    listed: Sequence[Sample]
    """by the paths that they have in their source"""
    captured: Sequence[Sample] = ()
    by_content: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    """sha256, hexadecimal -> listed images"""


def read_rows(files: Iterable[str]) -> list[Correction]:
    """In their order. Raises DataInvalid, with the line, for what is no such row; Unavailable when a bucket
    cannot be reached."""
    return [row for file in files for row in _read(file)]


def contents_of(rows: Iterable[Correction]) -> set[str]:
    """The sha256 of each image that a row calls by it."""
    return {content for row in rows if (content := _content(row.path))}


def match_rows(
    files: Sequence[str], rows: Sequence[Correction], data: str, images: Correctable, labels: Iterable[str]
) -> Corrections:
    """The rows of these files beside the images that they name, which are called so in `data`, and have or
    may have these labels.

    Raises DataInvalid, with the line, for a row that names none of the images or two, or a label that is none
    of theirs. By its content a row may name none, for captures are kept for a while, and of a captured image
    any label.
    """
    places: dict[str, set[str]] = {}
    for sample in images.listed:
        places.setdefault(_key(str(sample)), set()).add(str(sample.path))
    known = {*labels, *(sample.label for sample in images.listed)}
    captured = {_key(str(sample)) for sample in images.captured}
    last: dict[str, Correction] = {}
    new: Counter[str] = Counter()
    of_listed: list[Correction] = []
    absent = 0
    for row in rows:
        content = _content(row.path)
        if content is None:
            _check_path(row, places, data)
            _check_label(row, known, data)
            last[_key(row.path)] = row
            continue
        named = {_key(str(sample)) for sample in images.by_content.get(content, ())}
        named |= captured & {f"{BY_CONTENT}{content}"}
        absent += not named
        if named <= captured:
            new.update([row.label] if named and row.decision != LEAVE_OUT else [])
        else:
            of_listed.append(row)
        last.update(dict.fromkeys(named, row))
    for row in of_listed:
        _check_label(row, known | new.keys(), data)
    _tell_new({label: images for label, images in new.items() if label not in known}, known, data)
    return Corrections(tuple(files), last, absent)


def _content(path: str) -> str | None:
    match = _CONTENT.fullmatch(_key(path).lower())
    return match[1] if match else None


def _tell_new(new: Mapping[str, int], known: Iterable[str], data: str) -> None:
    """Of labels that only captured images have. Where there are no others, each is."""
    for label, images in new.items() if known else ():
        logger.warning(
            "the label %r is that of %d rows of captured images, and no image of %s has it%s",
            label,
            images,
            data,
            _meant(label, known),
        )


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
    raise DataInvalid(
        f"{row.place}: no image of {data} has the label {row.label!r}{_meant(row.label, known)}"
    )


def _meant(label: str, known: Iterable[str]) -> str:
    folded = {fold_label(each): each for each in sorted(known)}
    near = difflib.get_close_matches(fold_label(label), folded, n=1)
    return f"; {folded[near[0]]!r} may be meant" if near else ""
