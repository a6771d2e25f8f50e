"""Where images and their labels come from: folders, CSV files, buckets, and the embedded digits."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fovea.errors import DataInvalid
from fovea.images.passed_over import PassedOver
from fovea.stores.storage import is_bucket
from trainer.images.corrections import CorrectionsRecord, read_corrections
from trainer.images.digits import write_digits
from trainer.images.fetching import ETAGS_FOLDER, Fetched, fetch
from trainer.images.folders import read_folder
from trainer.images.grouping import (
    UNGROUPED,
    Apart,
    Grouping,
    GroupLeak,
    GroupsRecord,
    keep_apart,
    record_groups,
)
from trainer.images.labels import fold_label, normal_label
from trainer.images.listing import Listing, Sample, tables_in
from trainer.images.parts import TEST, VAL
from trainer.images.stratification import stratify
from trainer.images.table import read_csv

__all__ = ["Heldout", "Sample", "Split", "check_split", "open_heldout", "open_source"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Images to train on, held out and to test on; there are images of every label to train on."""

    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    heldout: tuple[Sample, ...]
    """by which a training chooses"""
    test: tuple[Sample, ...] = ()
    """by which nothing is chosen; none where there is no such part"""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """what was there and was not taken"""
    corrections: CorrectionsRecord | None = None
    """what was corrected of these images, where anything was given for it"""
    kept: frozenset[str] = frozenset()
    """images whose label somebody looked at and kept"""
    groups: GroupsRecord | None = None
    """how images were kept together, where anything says which belong together"""


@dataclass(frozen=True)
class Heldout:
    """Images that a model can be measured on."""

    part: str | None
    """what they are of a split, None where there is none"""
    samples: tuple[Sample, ...]
    passed_over: PassedOver
    corrections: CorrectionsRecord | None = None


def open_source(
    data: str,
    corrections: Sequence[str] = (),
    *,
    val_fraction: float,
    seed: int,
    cache_dir: Path,
    test_fraction: float = 0.0,
    grouping: Grouping = UNGROUPED,
) -> Split:
    """Lists the images of `data`: a folder, a CSV file, a bucket URI of either, or `digits`; with the labels
    that CSV files of `corrections` give them.

    Held out is the part val; where there is none, `val_fraction` of each class. To test on is the part test;
    where there is none, `test_fraction` of each class of what else would be trained on. Classes are taken as
    they were before any correction: so an image stays in its part. A class of one image is trained on alone,
    one of two is not tested on. By `grouping` whole groups are held out and tested on, as near to these
    fractions as they allow; of a group that is in several parts of a split, the last keeps its images. Raises
    DataInvalid when there is no such folder, no image, only one class or an empty one, too few groups, or a
    correction of something else; Unavailable when a bucket cannot be reached.
    """
    listing = _list(data, cache_dir, grouping=grouping)
    if not listing.all():
        raise _no_image(data, listing)
    heldout, test = listing.heldout.get(VAL, []), listing.heldout.get(TEST, [])
    train, undivided = listing.train, listing.unassigned
    if train and not heldout:
        logger.info("%s has no val with labels: %g of each class of train is held out", data, val_fraction)
        train, undivided = [], [*train, *undivided]
    if not train and not undivided:
        parts = " and ".join(part for part in (VAL, TEST) if listing.heldout.get(part))
        raise DataInvalid(f"{data}: there is {parts}, but no image to train on{_not_taken(listing)}")
    of_each = 0.0 if test else test_fraction
    more = stratify(data, undivided, val_fraction, of_each, seed)
    if of_each and train:
        train, _, test = stratify(data, train, 0.0, of_each, seed)
    found = ([*train, *more[0]], [*heldout, *more[1]], [*test, *more[2]])
    apart = keep_apart(found) if grouping else Apart(found)
    right = read_corrections(corrections, data, listing.all(), ())
    changed, corrected = right.record(listing.all()), [right.applied(samples) for samples in apart.parts]
    _tell(changed)
    _check_classes(data, {sample.label for samples in corrected for sample in samples}, listing)
    if apart.leaked:
        _check_left(data, [right.applied(samples) for samples in found], corrected, apart.leaked)
    split = check_split(data, *corrected)
    groups = record_groups(grouping, corrected, apart.leaked) if grouping else None
    return replace(split, passed_over=listing.passed_over, corrections=changed, groups=groups)


def list_every_image(
    data: str, corrections: Sequence[str], cache_dir: Path, grouping: Grouping = UNGROUPED
) -> Split:
    """All images of `data`, whatever their part, as if to train on; nothing is held out. Raises as
    `open_source` does."""
    listing = _list(data, cache_dir, grouping=grouping)
    if not listing.all():
        raise _no_image(data, listing)
    right = read_corrections(corrections, data, listing.all(), ())
    found, samples = right.record(listing.all()), tuple(right.applied(listing.all()))
    labels = {sample.label for sample in samples}
    _check_classes(data, set(labels), listing)
    _tell(found)
    kept = frozenset(str(sample) for sample in samples if right.is_kept(sample))
    return Split(
        tuple(sorted(labels)), samples, (), passed_over=listing.passed_over, corrections=found, kept=kept
    )


def open_heldout(
    data: str, cache_dir: Path, labels: Sequence[str], corrections: Sequence[str] = ()
) -> Heldout:
    """The images of a source that a model with these labels can be measured on: of one with a split the part
    test, else val; else all. With the labels that CSV files of `corrections` give them.

    Labels that differ from the model's in blanks around or in their Unicode form alone are the model's.
    Raises DataInvalid when there is no such folder or no image, Unavailable when a bucket cannot be reached.
    """
    listing = _list(data, cache_dir, labels)
    if not listing.all():
        raise _no_image(data, listing)
    part = listing.part(TEST)
    if part:
        logger.info("of the split of %s, %s is taken", data, part)
    samples = (*(listing.heldout[part] if part else ()), *listing.unassigned)
    right = read_corrections(corrections, data, listing.all(), map(normal_label, labels))
    found, samples = right.record(samples), tuple(right.applied(samples))
    _tell(found)
    if not samples:
        raise DataInvalid(f"{data}: its split holds no image out, and on the others a model may be trained")
    spelled = {normal_label(label): label for label in labels}
    named = tuple(replace(sample, label=spelled.get(sample.label, sample.label)) for sample in samples)
    return Heldout(part, named, listing.passed_over, found)


def _check_left(
    data: str,
    found: Sequence[Sequence[Sample]],
    left: Sequence[Sequence[Sample]],
    leaked: Sequence[GroupLeak],
) -> None:
    """Raises DataInvalid where nothing, or nothing of a class, is left beside the groups of later parts.

    Both are corrected: a class that corrections emptied, no group did.
    """
    before, after = ({sample.label for sample in parts[0]} for parts in (found, left))
    gone = sorted(before - after)
    what = f"no image of class {gone[0]!r} is left to train on" if gone else "no image is left to hold out"
    if gone or (found[1] and not left[1]):
        raise DataInvalid(
            f"{data}: {what}, for {len(leaked)} images are left out, the first is {leaked[0].path}: "
            f"{leaked[0].reason}; let the trainer split: give the images without parts, or a CSV file "
            "without a column split"
        )


def _tell(found: CorrectionsRecord | None) -> None:
    if found:
        logger.info("%s", found)


def check_split(
    data: str, train: Iterable[Sample], heldout: Iterable[Sample], test: Iterable[Sample] = ()
) -> Split:
    """Raises DataInvalid when a class has no image to train on, or nothing is held out."""
    train, heldout, test = tuple(train), tuple(heldout), tuple(test)
    labels = {sample.label for sample in train}
    for label in sorted({sample.label for sample in (*heldout, *test)} - labels):
        alike = next((other for other in sorted(labels) if fold_label(other) == fold_label(label)), None)
        hint = f"; there is {alike!r}, which may be meant" if alike else ""
        raise DataInvalid(f"{data}: class {label!r} is held out but has no image to train on{hint}")
    if not heldout:
        raise DataInvalid(f"{data}: no image is held out; some class needs two, to train and to hold out")
    return Split(tuple(sorted(labels)), train, heldout, test)


def _list(data: str, cache_dir: Path, known: Sequence[str] = (), grouping: Grouping = UNGROUPED) -> Listing:
    grouping.check_source(data)
    fetched = _local(data, cache_dir)
    if fetched.path.is_file():
        listing = read_csv(fetched.path, grouping.column)
    elif fetched.path.is_dir():
        ignored = frozenset([ETAGS_FOLDER]) if is_bucket(data) else frozenset[str]()
        listing = read_folder(fetched.path, data, known=known, ignored=ignored)
    else:
        raise DataInvalid(f"{data}: no such folder or CSV file (images are expected as {data}/CLASS/*.jpg)")
    for key, why in fetched.left_out:
        listing.passed_over.add(key, why)
    grouping.apply(listing)
    return listing


def _local(data: str, cache_dir: Path) -> Fetched:
    if data == "digits":
        return Fetched(write_digits(cache_dir / "digits"))
    if not is_bucket(data):
        return Fetched(Path(data.removeprefix("file://")))
    return fetch(data, cache_dir)


def _check_classes(data: str, labels: set[str], listing: Listing) -> None:
    if len(labels) == 1:
        one, tables = labels.pop(), tables_in(listing.passed_over)
        raise DataInvalid(f"{data}: there is one class only, {one!r}; at least two are needed{tables}")


def _no_image(data: str, listing: Listing) -> DataInvalid:
    expected = "rows path,label" if data.endswith(".csv") else f"{data}/CLASS/*.jpg"
    return DataInvalid(f"{data}: there is no image (expected are {expected}){_not_taken(listing)}")


def _not_taken(listing: Listing) -> str:
    return f"; not taken: {listing.passed_over.line()}" if listing.passed_over.files else ""
