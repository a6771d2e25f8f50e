"""What images a folder or a CSV file holds, with their labels and with the parts of its own split."""

import csv
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.formats import IMAGE_SUFFIXES

HELDOUT: Final = ("val", "valid", "validation", "dev", "test")
"""What a part that is held out is called."""


@dataclass(frozen=True)
class Sample:
    """One image file with the name of its class."""

    path: Path
    label: str
    name: str = ""
    """where it lies in the source, for a person to read"""

    def __str__(self) -> str:
        return self.name or printable(self.path)

    def read(self) -> bytes:
        """Raises DataInvalid when the file that was listed cannot be read now."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataInvalid(f"{self}: cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Listing:
    """All images of a source."""

    train: list[Sample] = field(default_factory=list)
    heldout: dict[str, list[Sample]] = field(default_factory=dict)
    """by the name of the part, one of HELDOUT"""
    unassigned: list[Sample] = field(default_factory=list)
    """of a source without a split"""

    def all(self) -> list[Sample]:
        return [*self.train, *(s for part in self.heldout.values() for s in part), *self.unassigned]

    def part(self, *preferred: str) -> str | None:
        """The first part that there is, None where nothing is held out."""
        return next((name for name in (*preferred, *HELDOUT) if self.heldout.get(name)), None)


def printable(path: Path) -> str:
    """A path for a person to read: bytes that are not UTF-8 and control characters are shown as \\xNN."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_folder(path: Path) -> Listing:
    """A folder of a folder a class, or with train/ and others of HELDOUT that hold those.

    Raises DataInvalid for a class without an image, one that cannot be read, or train/ alone.
    """
    train = path / "train"
    parts = {name: path / name for name in HELDOUT if (path / name).is_dir()}
    if train.is_dir() and parts:
        heldout = {name: _read_classes(part, path) for name, part in parts.items()}
        return Listing(_read_classes(train, path), heldout)
    if train.is_dir() and _holds_classes(train):
        names = ", ".join(f"{name}/" for name in HELDOUT)
        raise DataInvalid(f"{path}: there is train/, but none of {names} beside it")
    return Listing(unassigned=_read_classes(path, path))


def _holds_classes(folder: Path) -> bool:
    """Images lie in folders of it and none in itself: it is no class that is called `train`."""
    return any(child.is_dir() for child in folder.iterdir()) and not any(map(_is_image, folder.iterdir()))


def _read_classes(folder: Path, source: Path) -> list[Sample]:
    samples = []
    for child in sorted(folder.iterdir()):
        if not child.is_dir() or child.name.startswith("."):
            continue
        if not child.name.isprintable() or printable(child) != str(child):
            raise DataInvalid(f"{printable(child)}: the name of a class should be printable UTF-8 text")
        if not os.access(child, os.R_OK | os.X_OK):
            raise DataInvalid(f"{child}: this folder cannot be read")
        images = [
            file for file in sorted(child.rglob("*")) if _is_image(file) and not _is_hidden(file, child)
        ]
        if not images:
            raise DataInvalid(f"{child}: class {child.name!r} is empty: there is no image in this folder")
        samples += [Sample(file, child.name, printable(file.relative_to(source))) for file in images]
    return samples


def _is_hidden(file: Path, folder: Path) -> bool:
    """As what Jupyter and macOS leave behind."""
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _is_image(file: Path) -> bool:
    return file.suffix.lower()[1:] in IMAGE_SUFFIXES and file.is_file()


def read_csv(path: Path) -> Listing:
    """Rows `path,label` or `path,label,split`: paths are relative to the file's folder, a split is train or
    one of HELDOUT.

    Raises DataInvalid, naming the line.
    """
    listing = Listing()
    parts = {"": listing.unassigned, "train": listing.train, **{name: [] for name in HELDOUT}}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            _check_header(path, list(rows.fieldnames or ()))
            for row in rows:
                image, label, split = row["path"], row["label"], row.get("split") or ""
                if not image or not label or not (image + label).isprintable() or split not in parts:
                    raise DataInvalid(
                        f"{path}: line {rows.line_num}: expected a path, a label and, if any, the split "
                        f"train, val or test, not {image!r}, {label!r}, {split!r}"
                    )
                parts[split].append(Sample(path.parent / image, label, image))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataInvalid(f"{path}: not a CSV file in UTF-8: {error}") from error
    except OSError as error:
        raise DataInvalid(f"{path}: cannot be read: {error.strerror}") from error
    listing.heldout.update({name: parts[name] for name in HELDOUT})
    return listing


def _check_header(path: Path, names: list[str]) -> None:
    if {"path", "label"} <= set(names) and len(set(names)) == len(names):
        return
    found = ",".join(names)[:80]
    raise DataInvalid(f"{path}: its first line should be `path,label` or `path,label,split`, not `{found}`")
