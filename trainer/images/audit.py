"""What is wrong or unusual with the images, found before anything is computed."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from fovea.errors import DataInvalid
from trainer.images.labels import look_alikes
from trainer.images.listing import Sample
from trainer.images.traits import DOUBTFUL, TRAITS

logger = logging.getLogger(__name__)

MOST_NAMED: Final = 100
"""Bad files that the log names where they end the job; doubtful ones of each kind that audit.json names."""
FEW_IMAGES: Final = 10
"""A class with fewer images to train on is said to be tiny."""


@dataclass(frozen=True)
class Looked:
    """A file that can be used, with what its bytes told."""

    sample: Sample
    digest: str
    """sha256 of its content"""
    traits: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadFile:
    """A file that was left out, and why."""

    path: str
    reason: str


def check_bad(data: str, bad: Sequence[BadFile], total: int, max_bad_fraction: float) -> None:
    """Raises DataInvalid where they are more than `max_bad_fraction` of all, or all; the log has them."""
    if len(bad) <= max_bad_fraction * total and len(bad) < total:
        return
    for file in bad[:MOST_NAMED]:
        logger.warning("cannot be used: %s: %s", file.path, file.reason)
    raise DataInvalid(
        f"{data}: {len(bad)} of {total} images cannot be used, more than --max-bad-fraction "
        f"{max_bad_fraction:g} allows; the first is {bad[0].path}: {bad[0].reason}"
    )


def left_out(bad: Sequence[BadFile]) -> str:
    """One line on files that cannot be decoded, of which there are some."""
    return f"images left out: {len(bad)}; the first is {bad[0].path}: {bad[0].reason}"


@dataclass(frozen=True)
class Audit:
    """Findings over all usable files, before the training copies of held-out images are left out."""

    duplicates: tuple[tuple[str, ...], ...]
    """files of one content that are all to train on, or all held out"""
    leaked: tuple[BadFile, ...]
    """training files left out, for the same content is held out"""
    conflicts: tuple[tuple[str, ...], ...]
    """files of one content under two labels or more, each as `label: path`"""
    classes: dict[str, dict[str, int]]
    """label -> {"train": n, "heldout": n}, of what is used"""
    traits: dict[str, int]
    doubtful: dict[str, list[str]]
    """trait -> files that somebody should look at"""

    @property
    def tiny(self) -> dict[str, int]:
        """Label -> images to train on, where they are fewer than 10."""
        return {label: c["train"] for label, c in self.classes.items() if c["train"] < FEW_IMAGES}

    @property
    def not_heldout(self) -> list[str]:
        """Labels of which nothing is held out, so that nothing is known of how well they are told."""
        return [label for label, counts in self.classes.items() if not counts["heldout"]]

    @property
    def look_alikes(self) -> list[tuple[str, ...]]:
        """Labels that are classes of their own, and differ in case, blanks or dashes alone."""
        return look_alikes(self.classes)

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "classes": self.classes,
            "look_alikes": [list(group) for group in self.look_alikes],
            "tiny": self.tiny,
            "not_heldout": self.not_heldout,
            "leaked": [vars(bad) for bad in self.leaked],
            "conflicts": [list(group) for group in self.conflicts],
            "duplicates": [list(group) for group in self.duplicates],
            "traits": self.traits,
            "doubtful": self.doubtful,
        }

    def findings(self) -> Iterator[str]:
        """A line for each kind of finding that matters, with its first example."""
        if self.leaked:
            first = self.leaked[0]
            yield f"images left out of training for they are held out too: {len(self.leaked)}; {first.path}"
        if self.conflicts:
            first_group = " and ".join(self.conflicts[0])
            yield f"images of the same content under different labels: {len(self.conflicts)}; {first_group}"
        if self.look_alikes:
            first_alike = " and ".join(map(repr, self.look_alikes[0]))
            yield f"classes whose names differ in case, blanks or dashes alone: {first_alike} are kept apart"
        if self.tiny:
            label, images = min(self.tiny.items(), key=lambda pair: pair[1])
            yield (
                f"classes with fewer than {FEW_IMAGES} images to train on: {len(self.tiny)}; "
                f"{label!r} has {images}"
            )
        if self.not_heldout:
            yield f"classes with no image held out: {len(self.not_heldout)}; {self.not_heldout[0]!r}"
        yield from _describe_doubtful(self.doubtful, self.traits)


def audit(train: Iterable[Looked], heldout: Iterable[Looked]) -> Audit:
    """Compares contents byte for byte, by their digests; a picture that was saved anew is another."""
    train, heldout = tuple(train), tuple(heldout)
    held = {looked.digest: looked.sample for looked in heldout}
    kept = [looked for looked in train if looked.digest not in held]
    return Audit(
        duplicates=tuple(_duplicates(kept)) + tuple(_duplicates(heldout)),
        leaked=tuple(
            BadFile(str(looked.sample), f"the same content is held out as {held[looked.digest]}")
            for looked in train
            if looked.digest in held
        ),
        conflicts=tuple(_conflicts(chain(train, heldout))),
        classes=_count_classes(kept, heldout),
        traits=dict(sorted(Counter(trait for x in chain(kept, heldout) for trait in x.traits).items())),
        doubtful=_name_doubtful((str(looked.sample), looked.traits) for looked in chain(kept, heldout)),
    )


def _by_content(files: Iterable[Looked]) -> Iterator[list[Sample]]:
    """Files of which there are two or more of one content."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for looked in files:
        groups[looked.digest].append(looked.sample)
    return (group for group in groups.values() if len(group) > 1)


def _duplicates(files: Iterable[Looked]) -> Iterator[tuple[str, ...]]:
    return (tuple(str(sample) for sample in group) for group in _by_content(files))


def _conflicts(files: Iterable[Looked]) -> Iterator[tuple[str, ...]]:
    for group in _by_content(files):
        if len({sample.label for sample in group}) > 1:
            yield tuple(f"{sample.label}: {sample}" for sample in group)


def _count_classes(train: Iterable[Looked], heldout: Iterable[Looked]) -> dict[str, dict[str, int]]:
    trained = Counter(looked.sample.label for looked in train)
    held = Counter(looked.sample.label for looked in heldout)
    return {label: {"train": trained[label], "heldout": held[label]} for label in sorted(trained | held)}


def _name_doubtful(files: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, list[str]]:
    """Trait -> the files that have it, the first 100; `files` are names and traits."""
    named: dict[str, list[str]] = {trait: [] for trait in DOUBTFUL}
    for name, traits in files:
        for trait in named.keys() & set(traits):
            if len(named[trait]) < MOST_NAMED:
                named[trait].append(name)
    return {trait: names for trait, names in named.items() if names}


def _describe_doubtful(named: Mapping[str, list[str]], counts: Mapping[str, int]) -> Iterator[str]:
    """A line for each trait, with its first example."""
    for trait, names in named.items():
        yield f"images {TRAITS[trait]}: {counts[trait]}; the first is {names[0]}"
