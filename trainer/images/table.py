"""Images and their labels from a CSV file."""

import csv
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from trainer.images.labelling import ONE_LABEL, SEVERAL, Labelling, joined
from trainer.images.labels import normal_label
from trainer.images.listing import Listing, Sample
from trainer.images.parts import TEST, TRAIN, VAL, part_of
from trainer.images.table_rows import together, warn_of_several

_FORMS: Final = ("NFC", "NFD")


def read_csv(path: Path, group: str | None = None, labelling: Labelling = ONE_LABEL) -> Listing:
    """Rows `path,label` or `path,label,split`: paths are relative to the file's folder, a split is train, val
    or test, by any name that `part_of` knows. The column `group`, where one is asked for, says which images
    belong together. Several labels are told as `labelling` says, and rows of one image are `together` then.

    Raises DataInvalid, naming the line.
    """
    listing = Listing(heldout={VAL: [], TEST: []})
    parts = {"": listing.unassigned, TRAIN: listing.train, **listing.heldout}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            names = list(rows.fieldnames or ())
            several = labelling.reader(path, names, group) if labelling.is_multi else None
            if several:
                listing = replace(listing, labels=several.known)
            _check_header(path, names, group, known=several is not None)
            for row in several.whole(rows) if several else rows:
                labels = several.of(row, rows.line_num) if several else None
                label = normal_label(row["label"] or "") if labels is None else joined(labels)
                image, split = row["path"] or "", row.get("split") or ""
                part = part_of(split) if split.strip() else ""
                is_told = bool(label) or several is not None
                if not image or not is_told or not (image + label).isprintable() or part not in parts:
                    raise DataInvalid(
                        f"{path}: line {rows.line_num}: expected a path, a label and, if any, the split "
                        f"train, val or test, not {row['path']!r}, {label!r}, {split!r}"
                    )
                of_group = _group_in(row, group, f"{path}: line {rows.line_num}")
                parts[part].append(Sample(_locate(path.parent, image), label, image, of_group, labels))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataInvalid(f"{path}: not a CSV file in UTF-8: {error}") from error
    except OSError as error:
        raise DataInvalid(f"{path}: cannot be read: {error.strerror}") from error
    if several:
        return together(several, listing)
    warn_of_several(path, names, listing.all())
    return listing


def _group_in(row: Mapping[str, str | None], column: str | None, place: str) -> str | None:
    if column is None:
        return None
    group = normal_label(row[column] or "")
    if not group or not group.isprintable():
        raise DataInvalid(
            f"{place}: the column {column!r} has no group, but {row[column]!r}; an image that belongs with "
            "no other may have a group of its own"
        )
    return group


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


def _check_header(path: Path, names: list[str], group: str | None, *, known: bool) -> None:
    """`known` where it is known already to tell paths and labels."""
    if known or ({"path", "label"} <= set(names) and len(set(names)) == len(names)):
        if group is not None and group not in names:
            columns = ",".join(names)[:80]
            raise DataInvalid(f"--group {group}: {path} has no such column; its first line is `{columns}`")
        return
    header = ",".join(names)[:80]
    if SEVERAL in names:
        raise DataInvalid(
            f"{path}: its column `{SEVERAL}` has several labels an image: lr-find and train take it with "
            "--task multi"
        )
    raise DataInvalid(f"{path}: its first line should be `path,label` or `path,label,split`, not `{header}`")
