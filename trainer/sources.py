"""Where images and their labels come from: folders, CSV files, buckets, and the embedded digits."""

import csv
import os
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.preprocess import IMAGE_SUFFIXES
from fovea.storage import is_bucket
from trainer.digits import write_digits
from trainer.fetching import fetch

HELDOUT: Final = ("val", "valid", "validation", "dev", "test")
"""What the held-out part of a split is called."""

Parts = tuple[list["Sample"], list["Sample"], list["Sample"]]
"""To train on, held out, not assigned."""


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
class Split:
    """Images to train on and images held out; there are images of every label to train on."""

    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    heldout: tuple[Sample, ...]


def open_source(data: str, *, val_fraction: float, seed: int, cache_dir: Path) -> Split:
    """Lists the images of `data`: a folder, a CSV file, a bucket URI of either, or `digits`.

    A class of one image is trained on and not held out. Raises DataInvalid when there is no such folder, no
    image, only one class or an empty one, Unavailable when a bucket cannot be reached.
    """
    train, heldout, unassigned = _list(data, cache_dir)
    _check_classes(data, [*train, *heldout, *unassigned])
    more_train, more_heldout = _stratify(unassigned, val_fraction, seed)
    return check_split(data, [*train, *more_train], [*heldout, *more_heldout])


def open_heldout(data: str, cache_dir: Path) -> tuple[Sample, ...]:
    """The images of a source that nothing was trained on: those that its own split holds out, all if it has
    none.

    Raises DataInvalid when there is no such folder or no image, Unavailable when a bucket cannot be reached.
    """
    train, heldout, unassigned = _list(data, cache_dir)
    if not train and not heldout and not unassigned:
        raise _no_image(data)
    if not heldout and not unassigned:
        raise DataInvalid(f"{data}: its split holds no image out, and on the others a model may be trained")
    return (*heldout, *unassigned)


def check_split(data: str, train: Iterable[Sample], heldout: Iterable[Sample]) -> Split:
    """Raises DataInvalid when a class has no image to train on, or nothing is held out."""
    train, heldout = tuple(train), tuple(heldout)
    labels = {sample.label for sample in train}
    for label in sorted({sample.label for sample in heldout} - labels):
        raise DataInvalid(f"{data}: class {label!r} is held out but has no image to train on")
    if not heldout:
        raise DataInvalid(f"{data}: no image is held out; some class needs two, to train and to hold out")
    return Split(tuple(sorted(labels)), train, heldout)


def printable(path: Path) -> str:
    """A path for a person to read: bytes that are not UTF-8 are shown as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _list(data: str, cache_dir: Path) -> Parts:
    path = _local(data, cache_dir)
    if path.is_file():
        return _read_csv(path)
    if path.is_dir():
        return _read_folder(path)
    raise DataInvalid(f"{data}: no such folder or CSV file (images are expected as {data}/CLASS/*.jpg)")


def _local(data: str, cache_dir: Path) -> Path:
    if data == "digits":
        return write_digits(cache_dir / "digits")
    if not is_bucket(data):
        return Path(data.removeprefix("file://"))
    return fetch(data, cache_dir)


def _read_folder(path: Path) -> Parts:
    train, held = path / "train", next((path / name for name in HELDOUT if (path / name).is_dir()), None)
    if train.is_dir() and held is not None:
        return _read_classes(train, path), _read_classes(held, path), []
    if train.is_dir() and _holds_classes(train):
        names = ", ".join(f"{name}/" for name in HELDOUT)
        raise DataInvalid(f"{path}: there is train/, but none of {names} beside it")
    return [], [], _read_classes(path, path)


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
        images = [file for file in sorted(child.rglob("*")) if _is_image(file)]
        if not images:
            raise DataInvalid(f"{child}: class {child.name!r} is empty: there is no image in this folder")
        samples += [Sample(file, child.name, printable(file.relative_to(source))) for file in images]
    return samples


def _is_image(file: Path) -> bool:
    return file.suffix.lower()[1:] in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()


def _read_csv(path: Path) -> Parts:
    """Paths are relative to the CSV file's folder; `split` is train or val where the column exists."""
    train: list[Sample] = []
    heldout: list[Sample] = []
    unassigned: list[Sample] = []
    parts = {"train": train, **dict.fromkeys(HELDOUT, heldout), "": unassigned}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"path", "label"} <= set(rows.fieldnames or ()):
                found = ",".join(rows.fieldnames or ())
                said = f"its first line should be `path,label` or `path,label,split`, not `{found[:80]}`"
                raise DataInvalid(f"{path}: {said}")
            for row in rows:
                image, label, split = row["path"], row["label"], row.get("split") or ""
                if not image or not label or not (image + label).isprintable() or split not in parts:
                    raise DataInvalid(
                        f"{path}: line {rows.line_num}: expected a path, a label and, if any, the split "
                        f"train or val, not {image!r}, {label!r}, {split!r}"
                    )
                parts[split].append(Sample(path.parent / image, label, image))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataInvalid(f"{path}: not a CSV file in UTF-8: {error}") from error
    except OSError as error:
        raise DataInvalid(f"{path}: cannot be read: {error.strerror}") from error
    return train, heldout, unassigned


def _check_classes(data: str, samples: list[Sample]) -> None:
    labels = {sample.label for sample in samples}
    if not samples:
        raise _no_image(data)
    if len(labels) == 1:
        raise DataInvalid(f"{data}: there is one class only, {labels.pop()!r}; at least two are needed")


def _no_image(data: str) -> DataInvalid:
    return DataInvalid(f"{data}: there is no image (they are expected as {data}/CLASS/*.jpg)")


def _stratify(samples: list[Sample], val_fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Holds out `val_fraction` of each class, one image at least and never the last, by a shuffle that
    `seed` fixes."""
    by_label: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_label[sample.label].append(sample)
    train: list[Sample] = []
    heldout: list[Sample] = []
    for label, members in sorted(by_label.items()):
        random.Random(f"{seed}/{label}").shuffle(members)
        count = min(max(1, round(len(members) * val_fraction)), len(members) - 1)
        heldout += members[:count]
        train += members[count:]
    return train, heldout
