"""Where images and their labels come from: folders, CSV files, buckets, and the embedded digits."""

import csv
import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fovea.errors import DataInvalid
from fovea.preprocess import IMAGE_SUFFIXES
from fovea.storage import LocalFolder, is_bucket, open_folder
from trainer.digits import write_digits


@dataclass(frozen=True)
class Sample:
    """One image file with the name of its class."""

    path: Path
    label: str

    def read(self) -> bytes:
        """Raises DataInvalid when the file that was listed cannot be read now."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataInvalid(f"{self.path}: cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Split:
    """Images to train on and images held out; every label stands in both."""

    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    heldout: tuple[Sample, ...]


def open_source(data: str, *, val_fraction: float, seed: int, cache_dir: Path) -> Split:
    """Lists the images of `data`: a folder, a CSV file, a bucket URI of either, or `digits`.

    Raises DataInvalid when there is no such folder, no image, only one class or an empty one.
    """
    path = _local(data, cache_dir)
    if path.is_file():
        train, heldout, unassigned = _read_csv(path)
    elif path.is_dir():
        train, heldout, unassigned = _read_folder(path)
    else:
        raise DataInvalid(f"{data}: no such folder or CSV file (images are expected as {data}/CLASS/*.jpg)")
    _check_classes(data, [*train, *heldout, *unassigned])
    more_train, more_heldout = _stratify(data, unassigned, val_fraction, seed)
    return check_split(data, [*train, *more_train], [*heldout, *more_heldout])


def check_split(data: str, train: Iterable[Sample], heldout: Iterable[Sample]) -> Split:
    """Raises DataInvalid when a class has no image to train on, or none held out."""
    train, heldout = tuple(train), tuple(heldout)
    for label in sorted({s.label for s in (*train, *heldout)}):
        for samples, purpose in ((train, "to train on"), (heldout, "held out")):
            if not any(sample.label == label for sample in samples):
                raise DataInvalid(f"{data}: class {label!r} has no image {purpose}; every class needs one")
    return Split(tuple(sorted({sample.label for sample in train})), train, heldout)


def _local(data: str, cache_dir: Path) -> Path:
    if data == "digits":
        return write_digits(cache_dir / "digits")
    if not is_bucket(data):
        return Path(data.removeprefix("file://"))
    return _fetch(data, cache_dir / "buckets" / hashlib.sha256(data.encode()).hexdigest()[:16])


def _fetch(uri: str, cache: Path) -> Path:
    """Copies what the cache lacks: an object is known by its etag, which changes with its content."""
    if uri.endswith(".csv"):
        folder, name = uri.rsplit("/", 1)
        return _fetch(folder, cache) / name
    source, keys = open_folder(uri), set()
    for entry in source.entries():
        keys.add(entry.key)
        local, mark = cache / entry.key, f".etags/{entry.key}"
        if ".." in entry.key.split("/"):
            raise DataInvalid(f"{uri}/{entry.key}: a key that leads out of the folder")
        if not (
            local.is_file() and LocalFolder(cache).exists(mark) and (cache / mark).read_text() == entry.etag
        ):
            LocalFolder(cache).write(entry.key, source.read(entry.key))
            LocalFolder(cache).write(mark, entry.etag.encode())
    if not keys:
        raise DataInvalid(f"{uri}: there is nothing under this URI")
    for entry in LocalFolder(cache).entries():
        if entry.key not in keys and not entry.key.startswith(".etags/"):
            (cache / entry.key).unlink()
    return cache


def _read_folder(path: Path) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """To train on, held out, not assigned."""
    held = next((path / name for name in ("val", "valid", "test") if (path / name).is_dir()), None)
    if (path / "train").is_dir() and held is not None:
        return _read_classes(path / "train"), _read_classes(held), []
    return [], [], _read_classes(path)


def _read_classes(folder: Path) -> list[Sample]:
    samples = []
    for child in sorted(folder.iterdir()):
        if not child.is_dir() or child.name.startswith("."):
            continue
        images = [file for file in sorted(child.rglob("*")) if _is_image(file)]
        if not images:
            raise DataInvalid(f"{child}: class {child.name!r} is empty: there is no image in this folder")
        samples += [Sample(file, child.name) for file in images]
    return samples


def _is_image(file: Path) -> bool:
    return file.suffix.lower()[1:] in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()


def _read_csv(path: Path) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Paths are relative to the CSV file's folder; `split` is train or val where the column exists."""
    parts: dict[str, list[Sample]] = {"train": [], "val": [], "": []}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"path", "label"} <= set(rows.fieldnames or ()):
                raise DataInvalid(f"{path}: its first line should be `path,label` or `path,label,split`")
            for row in rows:
                image, label, split = row["path"], row["label"], row.get("split") or ""
                if not image or not label or split not in parts:
                    raise DataInvalid(
                        f"{path}: line {rows.line_num}: expected a path, a label and, if any, the split "
                        f"train or val, not {image!r}, {label!r}, {split!r}"
                    )
                parts[split].append(Sample(path.parent / image, label))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataInvalid(f"{path}: not a CSV file in UTF-8: {error}") from error
    return parts["train"], parts["val"], parts[""]


def _check_classes(data: str, samples: list[Sample]) -> None:
    labels = {sample.label for sample in samples}
    if not samples:
        raise DataInvalid(f"{data}: there is no image (they are expected as {data}/CLASS/*.jpg)")
    if len(labels) == 1:
        raise DataInvalid(f"{data}: there is one class only, {labels.pop()!r}; at least two are needed")


def _stratify(
    data: str, samples: list[Sample], val_fraction: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Holds out `val_fraction` of each class, at least one image, by a shuffle that `seed` fixes."""
    by_label: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_label[sample.label].append(sample)
    train: list[Sample] = []
    heldout: list[Sample] = []
    for label, members in sorted(by_label.items()):
        if len(members) < 2:
            raise DataInvalid(f"{data}: class {label!r} has one image; two are needed, to train and hold out")
        random.Random(f"{seed}/{label}").shuffle(members)
        count = min(max(1, round(len(members) * val_fraction)), len(members) - 1)
        heldout += members[:count]
        train += members[count:]
    return train, heldout
