"""Who is held out and who is tested on, where the data are not split: a share of each class."""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from fovea.errors import DataInvalid
from trainer.images.group_split import choose_groups
from trainer.images.label_split import divide_by_labels
from trainer.images.listing import Sample

Division = tuple[list[Sample], list[Sample], list[Sample]]
"""to train on, held out, to test on"""


def stratify(
    data: str, samples: Sequence[Sample], val_fraction: float, test_fraction: float, seed: int
) -> Division:
    """These fractions of each class, whole groups where the samples are of some, by a shuffle that `seed`
    fixes; and never the last image or group of a class. What is held out is the same whatever is tested on.

    Raises DataInvalid where there are too few groups of `data` for that.
    """
    if samples and samples[0].group is not None:
        return _divide_groups(data, samples, val_fraction, test_fraction, seed)
    if samples and samples[0].labels is not None:
        return divide_by_labels(samples, val_fraction, test_fraction, seed)
    return _divide_images(samples, val_fraction, test_fraction, seed)


def divide_by_content(
    samples: Sequence[Sample], val_fraction: float, test_fraction: float, seed: int
) -> Division:
    """These fractions, about, of images that come little by little and are called by their content: by a
    number that is drawn for each by `seed`, so that what one training was on another does not hold out.

    Of a class of two images or more one is held out at least, that of the smallest number, and one is
    trained on.
    """
    by_label: dict[str, list[tuple[float, Sample]]] = defaultdict(list)
    for sample in samples:
        by_label[sample.label].append((_draw(sample, seed), sample))
    divided: Division = ([], [], [])
    for _, members in sorted(by_label.items()):
        members.sort(key=lambda pair: pair[0])
        least = min(1, len(members) - 1) if val_fraction else 0
        first = max(least, sum(drawn < val_fraction for drawn, _ in members))
        both = max(first, sum(drawn < val_fraction + test_fraction for drawn, _ in members))
        first, both = min(first, len(members) - 1), min(both, len(members) - 1)
        for place, (_, sample) in enumerate(members):
            divided[1 if place < first else 2 if place < both else 0].append(sample)
    return divided


def _draw(sample: Sample, seed: int) -> float:
    """In [0, 1)."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}".encode()).digest()[:6]) / 2**48


def _divide_images(
    samples: Sequence[Sample], val_fraction: float, test_fraction: float, seed: int
) -> Division:
    """One image at least of a fraction above 0."""
    by_label: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_label[sample.label].append(sample)
    train: list[Sample] = []
    heldout: list[Sample] = []
    test: list[Sample] = []
    for label, members in sorted(by_label.items()):
        random.Random(f"{seed}/{label}").shuffle(members)
        first = _share(val_fraction, len(members), len(members) - 1)
        second = first + _share(test_fraction, len(members), len(members) - 1 - first)
        heldout += members[:first]
        test += members[first:second]
        train += members[second:]
    return train, heldout, test


def _share(fraction: float, images: int, most: int) -> int:
    return min(max(1, round(images * fraction)), most) if fraction else 0


def _divide_groups(
    data: str, samples: Sequence[Sample], val_fraction: float, test_fraction: float, seed: int
) -> Division:
    counts = _count(samples)
    held = _choose(data, counts, val_fraction, seed, "to hold out")
    others = {group: classes for group, classes in counts.items() if group not in held}
    images, left = len(samples), sum(sample.group in others for sample in samples)
    tested = _choose(data, others, min(test_fraction * images / left, 1.0), seed, "to test on")
    return (
        [sample for sample in samples if sample.group not in held | tested],
        [sample for sample in samples if sample.group in held],
        [sample for sample in samples if sample.group in tested],
    )


def _count(samples: Sequence[Sample]) -> dict[str, Counter[int]]:
    """Of several labels each counts, and to have none counts as one."""
    named = [sample.named or ("",) for sample in samples]
    numbers = {label: number for number, label in enumerate(sorted({name for of in named for name in of}))}
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for sample, labels in zip(samples, named, strict=True):
        counts[str(sample.group)].update(numbers[label] for label in labels)
    return dict(counts)


def _choose(data: str, counts: dict[str, Counter[int]], share: float, seed: int, what: str) -> set[str]:
    """Nothing of a share of 0."""
    if not share:
        return set()
    chosen = choose_groups(counts, share, seed)
    if chosen:
        return chosen
    if len(counts) == 1:
        why = f"the images are all of one group, {next(iter(counts))!r}"
    else:
        why = f"each of the {len(counts)} groups holds the last images of some class"
    raise DataInvalid(
        f"{data}: there is no group {what}, for {why}; a class is measured only where two groups have it, "
        "three with --test-fraction: does the option that tells the groups name what you mean?"
    )
