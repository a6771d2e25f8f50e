"""Images and their labels from a CSV file."""

import csv
import unicodedata
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from trainer.images.labels import normal_label
from trainer.images.listing import Listing, Sample
from trainer.images.parts import TEST, TRAIN, VAL, part_of

_FORMS: Final = ("NFC", "NFD")


def read_csv(path: Path) -> Listing:
    """Rows `path,label` or `path,label,split`: paths are relative to the file's folder, a split is train, val
    or test, by any name that `part_of` knows.

    Raises DataInvalid, naming the line.
    """
    listing = Listing(heldout={VAL: [], TEST: []})
    parts = {"": listing.unassigned, TRAIN: listing.train, **listing.heldout}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            _check_header(path, list(rows.fieldnames or ()))
            for row in rows:
                image, label, split = (
                    row["path"] or "",
                    normal_label(row["label"] or ""),
                    row.get("split") or "",
                )
                part = part_of(split) if split.strip() else ""
                if not image or not label or not (image + label).isprintable() or part not in parts:
                    raise DataInvalid(
                        f"{path}: line {rows.line_num}: expected a path, a label and, if any, the split "
                        f"train, val or test, not {row['path']!r}, {row['label']!r}, {split!r}"
                    )
                parts[part].append(Sample(_locate(path.parent, image), label, image))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataInvalid(f"{path}: not a CSV file in UTF-8: {error}") from error
    except OSError as error:
        raise DataInvalid(f"{path}: cannot be read: {error.strerror}") from error
    return listing


def _locate(folder: Path, image: str) -> Path:
    """The file as it is written, or else in the Unicode form, and without the blanks around, that it has on
    the disk: a Mac's archive decomposes what a table composes."""
    written = folder / image
    if (image.isascii() and image == image.strip()) or written.exists():
        return written
    places = [folder]
    for part in Path(image.strip()).parts:
        forms = {part, *(unicodedata.normalize(form, part) for form in _FORMS)}
        places = [below for above in places for form in sorted(forms) if (below := above / form).exists()]
    return places[0] if places else written


def _check_header(path: Path, names: list[str]) -> None:
    if {"path", "label"} <= set(names) and len(set(names)) == len(names):
        return
    header = ",".join(names)[:80]
    raise DataInvalid(f"{path}: its first line should be `path,label` or `path,label,split`, not `{header}`")
