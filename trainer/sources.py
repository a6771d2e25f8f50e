"""Where images and their labels come from: folders, CSV files, buckets, and the embedded digits."""

import logging
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fovea.errors import DataInvalid
from fovea.storage import is_bucket
from trainer.digits import write_digits
from trainer.fetching import fetch
from trainer.listing import Listing, Sample, read_csv, read_folder

__all__ = ["Sample", "Split", "check_split", "open_heldout", "open_source"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Images to train on and images held out; there are images of every label to train on."""

    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    heldout: tuple[Sample, ...]


def open_source(data: str, *, val_fraction: float, seed: int, cache_dir: Path) -> Split:
    """Lists the images of `data`: a folder, a CSV file, a bucket URI of either, or `digits`.

    Of several parts that are held out, val comes first; the others are left alone. A class of one image is
    trained on and not held out. Raises DataInvalid when there is no such folder, no image, only one class or
    an empty one, Unavailable when a bucket cannot be reached.
    """
    listing = _list(data, cache_dir)
    _check_classes(data, listing.all())
    part = listing.part()
    heldout = listing.heldout[part] if part else []
    others = [name for name, images in listing.heldout.items() if images and name != part]
    if others:
        logger.info("held out is %s; %s is left for `evaluate`", part, " and ".join(others))
    more_train, more_heldout = _stratify(listing.unassigned, val_fraction, seed)
    return check_split(data, [*listing.train, *more_train], [*heldout, *more_heldout])


def open_heldout(data: str, cache_dir: Path) -> tuple[str | None, tuple[Sample, ...]]:
    """The images of a source that a model can be measured on: of one with a split what it holds out, test
    before any other part; else all, with None for the part's name.

    Raises DataInvalid when there is no such folder or no image, Unavailable when a bucket cannot be reached.
    """
    listing = _list(data, cache_dir)
    if not listing.all():
        raise _no_image(data)
    part = listing.part("test")
    if part:
        logger.info("of the split of %s, %s is taken", data, part)
    samples = (*(listing.heldout[part] if part else ()), *listing.unassigned)
    if not samples:
        raise DataInvalid(f"{data}: its split holds no image out, and on the others a model may be trained")
    return part, samples


def check_split(data: str, train: Iterable[Sample], heldout: Iterable[Sample]) -> Split:
    """Raises DataInvalid when a class has no image to train on, or nothing is held out."""
    train, heldout = tuple(train), tuple(heldout)
    labels = {sample.label for sample in train}
    for label in sorted({sample.label for sample in heldout} - labels):
        raise DataInvalid(f"{data}: class {label!r} is held out but has no image to train on")
    if not heldout:
        raise DataInvalid(f"{data}: no image is held out; some class needs two, to train and to hold out")
    return Split(tuple(sorted(labels)), train, heldout)


def _list(data: str, cache_dir: Path) -> Listing:
    path = _local(data, cache_dir)
    if path.is_file():
        return read_csv(path)
    if path.is_dir():
        return read_folder(path)
    raise DataInvalid(f"{data}: no such folder or CSV file (images are expected as {data}/CLASS/*.jpg)")


def _local(data: str, cache_dir: Path) -> Path:
    if data == "digits":
        return write_digits(cache_dir / "digits")
    if not is_bucket(data):
        return Path(data.removeprefix("file://"))
    return fetch(data, cache_dir)


def _check_classes(data: str, samples: list[Sample]) -> None:
    labels = {sample.label for sample in samples}
    if not samples:
        raise _no_image(data)
    if len(labels) == 1:
        raise DataInvalid(f"{data}: there is one class only, {labels.pop()!r}; at least two are needed")


def _no_image(data: str) -> DataInvalid:
    expected = "rows path,label" if data.endswith(".csv") else f"{data}/CLASS/*.jpg"
    return DataInvalid(f"{data}: there is no image (expected are {expected})")


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
