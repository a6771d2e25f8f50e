"""Where images and their labels come from: folders, CSV files, buckets, and the embedded digits."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fovea.errors import DataInvalid
from fovea.images.passed_over import PassedOver
from trainer.images.captured import CapturesRecord
from trainer.images.corrections import CorrectionsRecord
from trainer.images.grouping import (
    UNGROUPED,
    Apart,
    Grouping,
    GroupLeak,
    GroupsRecord,
    keep_apart,
    record_groups,
)
from trainer.images.label_split import labels_of
from trainer.images.labelling import ONE_LABEL, Labelling, check_is_set, joined
from trainer.images.labels import fold_label, normal_label
from trainer.images.listed import list_all, not_taken
from trainer.images.listing import Listing, Sample, tables_in
from trainer.images.parts import TEST, VAL
from trainer.images.stratification import divide_by_content, stratify

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
    captures: CapturesRecord | None = None
    """what became of captured images, where there are some"""


@dataclass(frozen=True)
class Heldout:
    """Images that a model can be measured on."""

    part: str | None
    """what they are of a split, None where there is none"""
    samples: tuple[Sample, ...]
    passed_over: PassedOver
    corrections: CorrectionsRecord | None = None
    captures: CapturesRecord | None = None
    unlabelled: tuple[Sample, ...] = ()
    """captured images that nobody gave a label, where they were asked for"""


def open_source(
    data: str,
    corrections: Sequence[str] = (),
    *,
    captures: Sequence[str] = (),
    val_fraction: float,
    seed: int,
    cache_dir: Path,
    test_fraction: float = 0.0,
    grouping: Grouping = UNGROUPED,
    labelling: Labelling = ONE_LABEL,
) -> Split:
    """Lists the images of `data`: a folder, a CSV file, a bucket URI of either, or `digits`; with the labels
    that CSV files of `corrections` give them, or where an image may have several, `labelling` tells. Beside
    or instead of them, the images of `captures` that corrections give a label.

    Held out is the part val; where there is none, `val_fraction` of each class. To test on is the part test;
    where there is none, `test_fraction` of each class of what else would be trained on. Classes are taken as
    they were before any correction: so an image stays in its part, and whatever was captured since, too. A
    class of one image is trained on alone, one of two is not tested on. By `grouping` whole groups are held
    out and tested on, as near to these fractions as they allow; of a group that is in several parts of a
    split, the last keeps its images. Raises DataInvalid when there is no such folder, no image, only one
    class or an empty one, too few groups, or a correction of something else; Unavailable when a bucket cannot
    be reached.
    """
    every = list_all(data, corrections, captures, cache_dir, grouping=grouping, labelling=labelling)
    listing, right = every.listing, every.right
    if labelling.is_multi:
        check_is_set(data, listing)
    heldout, test = listing.heldout.get(VAL, []), listing.heldout.get(TEST, [])
    train, undivided = listing.train, listing.unassigned
    if train and not heldout:
        logger.info("%s has no val with labels: %g of each class of train is held out", data, val_fraction)
        train, undivided = [], [*train, *undivided]
    if not train and not undivided and not every.labelled:
        parts = " and ".join(part for part in (VAL, TEST) if listing.heldout.get(part))
        raise DataInvalid(f"{data}: there is {parts}, but no image to train on{not_taken(listing)}")
    of_each = 0.0 if test else test_fraction
    more = stratify(data, undivided, val_fraction, of_each, seed)
    if of_each and train:
        train, _, test = stratify(data, train, 0.0, of_each, seed)
    came = divide_by_content(every.labelled, val_fraction, of_each, seed)
    found = ([*train, *more[0], *came[0]], [*heldout, *more[1], *came[1]], [*test, *more[2], *came[2]])
    apart = keep_apart(found) if grouping else Apart(found)
    corrected = [right.applied(samples) for samples in apart.parts]
    if not labelling.is_multi:
        _check_classes(data, {sample.label for samples in corrected for sample in samples}, listing)
    if apart.leaked:
        _check_left(data, [right.applied(samples) for samples in found], corrected, apart.leaked)
    split = check_split(data, *corrected)
    groups = record_groups(grouping, corrected, apart.leaked) if grouping else None
    return replace(
        split,
        passed_over=listing.passed_over,
        corrections=every.corrections,
        groups=groups,
        captures=every.captures,
    )


def list_every_image(
    data: str,
    corrections: Sequence[str],
    cache_dir: Path,
    grouping: Grouping = UNGROUPED,
    captures: Sequence[str] = (),
) -> Split:
    """All images of `data`, and of `captures` those with a label, whatever their part, as if to train on;
    nothing is held out. Raises as `open_source` does."""
    every = list_all(data, corrections, captures, cache_dir, grouping=grouping)
    right = every.right
    samples = (*right.applied(every.listing.all()), *every.labelled)
    labels = {sample.label for sample in samples}
    _check_classes(data, set(labels), every.listing)
    kept = frozenset(str(sample) for sample in samples if right.is_kept(sample))
    return Split(
        tuple(sorted(labels)),
        samples,
        (),
        passed_over=every.listing.passed_over,
        corrections=every.corrections,
        kept=kept,
        captures=every.captures,
    )


def open_heldout(
    data: str,
    cache_dir: Path,
    labels: Sequence[str],
    corrections: Sequence[str] = (),
    captures: Sequence[str] = (),
    *,
    unlabelled: bool = False,
    labelling: Labelling = ONE_LABEL,
) -> Heldout:
    """The images of a source that a model with these labels can be measured on: of one with a split the part
    test, else val; else all; and all of `captures` that have a label. With the labels that CSV files of
    `corrections` give them. Captured images that are `unlabelled` are fetched where they are asked for.

    Labels that differ from the model's in blanks around or in their Unicode form alone are the model's.
    Raises DataInvalid when there is no such folder or no image, Unavailable when a bucket cannot be reached.
    """
    every = list_all(
        data, corrections, captures, cache_dir, labels, every_capture=unlabelled, labelling=labelling
    )
    listing = every.listing
    part = listing.part(TEST)
    if part:
        logger.info("of the split of %s, %s is taken", data, part)
    samples = (*(listing.heldout[part] if part else ()), *listing.unassigned)
    found = every.right.record(samples)
    samples = (*every.right.applied(samples), *every.labelled)
    if not samples:
        raise DataInvalid(f"{data}: its split holds no image out, and on the others a model may be trained")
    spelled = {normal_label(label): label for label in labels}
    named = tuple(_respelled(sample, spelled) for sample in samples)
    return Heldout(part, named, listing.passed_over, found, every.captures, every.unlabelled)


def _respelled(sample: Sample, spelled: Mapping[str, str]) -> Sample:
    if sample.labels is None:
        return replace(sample, label=spelled.get(sample.label, sample.label))
    labels = tuple(sorted(spelled.get(label, label) for label in sample.labels))
    return replace(sample, label=joined(labels), labels=labels)


def _check_left(
    data: str,
    found: Sequence[Sequence[Sample]],
    left: Sequence[Sequence[Sample]],
    leaked: Sequence[GroupLeak],
) -> None:
    """Raises DataInvalid where nothing, or nothing of a class, is left beside the groups of later parts.

    Both are corrected: a class that corrections emptied, no group did.
    """
    before, after = ({*labels_of(parts[0])} for parts in (found, left))
    gone = sorted(before - after)
    what = f"no image of class {gone[0]!r} is left to train on" if gone else "no image is left to hold out"
    if gone or (found[1] and not left[1]):
        raise DataInvalid(
            f"{data}: {what}, for {len(leaked)} images are left out, the first is {leaked[0].path}: "
            f"{leaked[0].reason}; let the trainer split: give the images without parts, or a CSV file "
            "without a column split"
        )


def check_split(
    data: str, train: Iterable[Sample], heldout: Iterable[Sample], test: Iterable[Sample] = ()
) -> Split:
    """Raises DataInvalid when a class has no image to train on, or nothing is held out."""
    train, heldout, test = tuple(train), tuple(heldout), tuple(test)
    labels = {*labels_of(train)}
    for label in sorted({*labels_of((*heldout, *test))} - labels):
        alike = next((other for other in sorted(labels) if fold_label(other) == fold_label(label)), None)
        hint = f"; there is {alike!r}, which may be meant" if alike else ""
        raise DataInvalid(f"{data}: class {label!r} is held out but has no image to train on{hint}")
    if not heldout:
        raise DataInvalid(f"{data}: no image is held out; some class needs two, to train and to hold out")
    return Split(tuple(sorted(labels)), train, heldout, test)


def _check_classes(data: str, labels: set[str], listing: Listing) -> None:
    if len(labels) == 1:
        one, tables = labels.pop(), tables_in(listing.passed_over)
        raise DataInvalid(f"{data}: there is one class only, {one!r}; at least two are needed{tables}")
