"""corrections.csv: what was answered, one row an image, as --data takes it."""

import csv
import io
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from fovea.capture.rows import Captured
from fovea.errors import DataInvalid, ObjectMissing, Unavailable
from fovea.stores.storage import LocalFolder
from trainer.images.corrections import BY_CONTENT, COLUMNS, KEEP, LEAVE_OUT, RELABEL
from trainer.images.labels import normal_label

CORRECTIONS_FILE: Final = "corrections.csv"
LONGEST_LABEL: Final = 200

Row = tuple[str, ...]
"""The cells of COLUMNS."""


def read_rows(folder: Path) -> list[Row]:
    """What the folder's corrections.csv holds; nothing where there is none. Raises DataInvalid for another
    file of that name, Unavailable."""
    file = folder / CORRECTIONS_FILE
    try:
        text = LocalFolder(folder).read(CORRECTIONS_FILE).decode("utf-8-sig")
    except ObjectMissing:
        if file.is_dir():
            raise DataInvalid(f"{file}: a folder, where the answers belong; move it away") from None
        return []
    except UnicodeDecodeError as error:
        raise DataInvalid(f"{file}: not a CSV file in UTF-8: {error}") from error
    rows = csv.DictReader(io.StringIO(text, newline=""), restval="")
    if not {"path", "label"} <= set(rows.fieldnames or ()):
        raise DataInvalid(f"{file}: its first line should be `{','.join(COLUMNS)}`; move the file away")
    try:
        return [tuple(row.get(name) or "" for name in COLUMNS) for row in rows]
    except csv.Error as error:
        raise DataInvalid(f"{file}: not a CSV file: {error}") from error


def labelled_in(rows: Iterable[Row]) -> set[str]:
    """The digests of the captured images that have a row."""
    return {row[0].removeprefix(BY_CONTENT) for row in rows if row[0].startswith(BY_CONTENT)}


def probability_of(row: Captured) -> str:
    return f"{row.probability:.4f}"


class Saved:
    """The answers of a page that this program serves: written whole after each change, by one at a time,
    beside the rows that the file has of others."""

    def __init__(
        self,
        folder: Path,
        earlier: Sequence[Row],
        images: Sequence[Captured],
        labels: Container[str] = (),
    ) -> None:
        self._folder, self._earlier = folder, earlier
        self._places = {row.sha256: place for place, row in enumerate(images)}
        self._images, self._labels = images, labels
        self._answers: dict[str, str] = {}
        self._lock = Lock()

    def answers(self) -> dict[str, str]:
        """Digest -> label, empty for what is none of the classes."""
        with self._lock:
            return dict(self._answers)

    def change(self, changes: Mapping[str, str | None]) -> None:
        """None takes an answer back. Raises DataInvalid where a digest is none of the page's or a label is
        none, with nothing changed; Unavailable where the file cannot be written: then all is as it was."""
        for digest in changes:
            if digest not in self._places:
                raise DataInvalid(f"{digest[:80]!r} is no image of this page")
        given = {digest: label and self._label(label) for digest, label in changes.items()}
        with self._lock:
            merged: dict[str, str | None] = {**self._answers, **given}
            answers = {digest: label for digest, label in merged.items() if label is not None}
            LocalFolder(self._folder).write(CORRECTIONS_FILE, self._file(answers).encode())
            self._answers = answers

    def _label(self, text: str) -> str:
        """One of the model's classes as it is; another as the trainer would read it from a file. Raises
        DataInvalid for what is no label."""
        if text in self._labels:
            return text
        label = normal_label(text)
        if not label or len(label) > LONGEST_LABEL or any("\ud800" <= each <= "\udfff" for each in label):
            raise DataInvalid(f"{text[:80]!r} is no label: 1 to {LONGEST_LABEL} characters are wanted")
        return label

    def _others(self) -> Sequence[Row]:
        """The rows that are not of this page's answers, as the file has them now: it may have been written to
        since. Where it is gone, those known last. Raises Unavailable for another file of that name."""
        try:
            found = read_rows(self._folder)
        except DataInvalid as error:
            raise Unavailable(str(error)) from error
        if found:
            self._earlier = [row for row in found if not labelled_in([row]) & self._answers.keys()]
        return self._earlier

    def _file(self, answers: Mapping[str, str]) -> str:
        file = io.StringIO(newline="")
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(row for row in self._others() if not labelled_in([row]) & answers.keys())
        for place in sorted(self._places[digest] for digest in answers):
            rows.writerow(_row(self._images[place], answers[self._images[place].sha256], place + 1))
        return file.getvalue()


def _row(image: Captured, label: str, rank: int) -> Row:
    decision = (KEEP if label == image.label else RELABEL) if label else LEAVE_OUT
    path = f"{BY_CONTENT}{image.sha256}"
    return path, label, decision, image.label, probability_of(image), str(rank)
