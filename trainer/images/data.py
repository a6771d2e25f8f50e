"""The data set of a training: what is trained on, held out and tested on, and what was left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.images.passed_over import PassedOver
from fovea.images.spec import PreprocessSpec
from trainer.images.audit import (
    Audit,
    AuditRecord,
    BadFile,
    NotTakenRecord,
    audit,
    check_bad,
    left_out,
)
from trainer.images.batches import Images
from trainer.images.captured import CapturesRecord
from trainer.images.copies import Copies, copies_across, find_copies, picture_of
from trainer.images.corrections import CorrectionsRecord
from trainer.images.digests import data_digest
from trainer.images.grouping import GroupsRecord
from trainer.images.label_sets import LabelSetsRecord, record_label_sets
from trainer.images.part import Part
from trainer.images.pixels import decode_all
from trainer.images.sources import Split, check_split
from trainer.pages.pictures import as_webp

MOST_SHOWN: Final = 6
"""Pictures of each kind that are kept for the report."""


@dataclass(frozen=True)
class DataSet:
    """What is trained on, what is held out and what is tested on."""

    labels: tuple[str, ...]
    train: Images
    """Larger than the crop, for augmentation to cut from."""
    heldout: Images
    """Exactly what serving would make of the files. By them a training chooses."""
    bad: tuple[BadFile, ...]
    comparison: Audit
    copies: Copies
    digest: str
    """sha256 over the contents and labels of all images, hexadecimal"""
    passed_over: PassedOver
    """files that were there, and are no images by their names or have no label"""
    pictures: dict[str, str]
    """file -> a data URI, of some that somebody should look at"""
    test: Images | None = None
    """As held-out ones; nothing is chosen by them. None where there is no such part."""
    corrections: CorrectionsRecord | None = None
    """what was corrected of the images' labels, where anything was given for it"""
    captures: CapturesRecord | None = None
    """what became of captured images, where there are some"""
    kept: frozenset[str] = frozenset()
    """images whose label somebody looked at and kept"""
    groups: GroupsRecord | None = None
    """how images were kept together over the split, where anything says which belong together"""
    together: tuple[str, ...] = ()
    """of each image of `heldout`, where every image was read for it: images of one name go together, being of
    one content or nearly the same picture"""

    @cached_property
    def label_sets(self) -> LabelSetsRecord | None:
        """None where an image has one label."""
        if self.train.task == "single":
            return None
        parts = {"train": self.train, "heldout": self.heldout}
        return record_label_sets(self.labels, parts if self.test is None else {**parts, "test": self.test})

    @property
    def told(self) -> Images:
        """The images that the figures of a model are told of."""
        return self.heldout if self.test is None else self.test

    def audit(self) -> AuditRecord:
        """What audit.json says."""
        comparison = self.comparison
        return AuditRecord(
            **({"corrections": self.corrections} if self.corrections else {}),
            **({"groups": self.groups} if self.groups else {}),
            **({"label_sets": self.label_sets} if self.label_sets else {}),
            **({"captures": self.captures} if self.captures else {}),
            digest=self.digest,
            not_taken={kind: NotTakenRecord(**files) for kind, files in self.passed_over.record().items()},
            quarantined=list(self.bad),
            classes=comparison.classes,
            look_alikes=comparison.look_alikes,
            tiny=comparison.tiny,
            not_heldout=comparison.not_heldout,
            leaked=list(comparison.leaked),
            conflicts=list(comparison.conflicts),
            duplicates=list(comparison.duplicates),
            traits=comparison.traits,
            doubtful=comparison.doubtful,
            nearly_leaked=list(self.copies.leaked),
            near_duplicates=list(self.copies.groups),
            near_conflicts=list(self.copies.conflicts),
            near_turned=list(self.copies.turned),
            pictures=self.pictures,
        )

    def findings(self) -> Iterator[str]:
        """A line for each kind of finding that matters, with its first example."""
        if self.passed_over.matters:
            yield f"files not taken: {self.passed_over.line()}"
        if self.bad:
            yield left_out(self.bad)
        if self.groups:
            yield from self.groups.findings()
        if self.label_sets:
            yield from self.label_sets.findings()
        yield from self.copies.findings()
        yield from self.comparison.findings()


def read_images(
    split: Split,
    data: str,
    spec: PreprocessSpec,
    cache_dir: Path,
    *,
    max_bad_fraction: float,
    threads: int,
    in_training: PreprocessSpec | None = None,
    flip: bool = True,
) -> DataSet:
    """Decodes the images of `split`, or finds them in the cache: those to train on by `in_training`, or by
    default as `spec` has them before it cuts, the others by `spec`.

    Files that cannot be decoded are left out and named in `bad`; training images whose content is held out or
    tested on too, and held-out ones whose content is tested on, are left out and named in `comparison`, for
    else the accuracy would be better than the truth. So are those of which a later part has nearly the same
    picture, `flip` says whether also a mirrored one.
    Raises DataInvalid when bad files are more than `max_bad_fraction` of all or leave a class nothing to
    train on, Unavailable when the cache cannot be written.
    """
    whole = in_training or spec.model_copy(update={"size": spec.resize})
    parts = [
        Part(samples, decode_all(samples, of_part, cache_dir, threads), of_part)
        for samples, of_part in ((split.train, whole), (split.heldout, spec), (split.test, spec))
        if samples
    ]
    bad = tuple(file for part in parts for file in part.bad())
    check_bad(data, bad, sum(len(part.samples) for part in parts), max_bad_fraction)
    rows = _rows_without_leaks(parts)
    _check_left(data, parts, rows)
    copies = find_copies(parts, rows, flip=flip, cache_dir=cache_dir)
    rows = [_rows_without(part, of, out) for part, of, out in zip(parts, rows, copies.left_out, strict=True)]
    usable = check_split(
        data, *([part.samples[row] for row in of] for part, of in zip(parts, rows, strict=True))
    )
    for label in sorted(set(split.labels) - set(usable.labels)):
        raise DataInvalid(
            f"{data}: class {label!r} has no image left to train on: each is damaged or held out too"
        )
    train, heldout, *test = (part.images(of, usable.labels) for part, of in zip(parts, rows, strict=True))
    each = zip(parts, copies.left_out, strict=True)
    comparison = audit(*(part.usable(left_out, copies.blurred) for part, left_out in each))
    return DataSet(
        usable.labels,
        train,
        heldout,
        bad,
        comparison,
        copies,
        data_digest((part.samples, part.decoded.digests) for part in parts),
        split.passed_over,
        _pictures(parts, comparison, copies),
        test[0] if test else None,
        split.corrections,
        split.captures,
        groups=split.groups and split.groups.with_copies(copies_across(parts, copies)),
    )


def _rows_without_leaks(parts: list[Part]) -> list[list[int]]:
    """Of each part those that can be used and whose content no later part has."""
    later: set[str] = set()
    rows = []
    for part in reversed(parts):
        digests = part.decoded.digests
        rows.append([row for row in part.rows() if digests[row] not in later])
        later.update(digests[row] for row in part.rows())
    return rows[::-1]


def _rows_without(part: Part, rows: list[int], left_out: frozenset[str]) -> list[int]:
    return [row for row in rows if part.decoded.digests[row] not in left_out]


def _pictures(parts: list[Part], comparison: Audit, copies: Copies) -> dict[str, str]:
    """Of a few doubtful images of each kind, and of a few that are nearly the same."""
    names = [name for named in comparison.doubtful.values() for name in named[:MOST_SHOWN]]
    names += [name for leak in copies.leaked[:MOST_SHOWN] for name in (leak.path, leak.other)]
    names += [name for group in copies.groups[:MOST_SHOWN] for name in group[:MOST_SHOWN]]
    return {name: as_webp(pixels) for name, pixels in picture_of(parts, names).items()}


def _check_left(data: str, parts: list[Part], rows: list[list[int]]) -> None:
    """Raises DataInvalid where no image is left to hold out or to test on, though there were some."""
    for name, part, left in zip(("held out", "in the part test"), parts[1:], rows[1:], strict=False):
        if not left:
            why = "is damaged, or in the part test too" if part.rows() else "is damaged"
            raise DataInvalid(f"{data}: no image is left {name}: each of {len(part.samples)} {why}")
