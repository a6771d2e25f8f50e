"""What is wrong or unusual with the images, found before anything is computed."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from pydantic import BaseModel

from fovea.errors import DataInvalid
from trainer.images.labels import look_alikes
from trainer.images.listing import Sample
from trainer.images.traits import DOUBTFUL, TRAITS
from trainer.runs.run_folder import AUDIT_FILE, RunFolder

logger = logging.getLogger(__name__)

MOST_NAMED: Final = 100
"""Bad files that the log names where they end the job; doubtful ones of each kind that audit.json names."""
FEW_IMAGES: Final = 10
"""A class with fewer images to train on is said to be tiny."""


@dataclass(frozen=True)
class UsableFile:
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


class NotTakenRecord(BaseModel, frozen=True):
    """Files of one kind that were not taken."""

    files: int
    names: list[str]
    """the first ones"""


class AuditRecord(BaseModel, frozen=True):
    """audit.json: which images are used, and what was found among those that came. See `Audit`."""

    digest: str
    """sha256 over the contents and labels of all images, hexadecimal"""
    not_taken: dict[str, NotTakenRecord] = {}
    """kind -> files that are no images by their names, or have no label"""
    left_for_evaluate: dict[str, int] = {}
    """part -> its images"""
    quarantined: list[BadFile] = []
    """that cannot be decoded"""
    classes: dict[str, dict[str, int]]
    look_alikes: list[tuple[str, ...]] = []
    tiny: dict[str, int] = {}
    not_heldout: list[str]
    leaked: list[BadFile] = []
    conflicts: list[tuple[str, ...]]
    duplicates: list[tuple[str, ...]] = []
    traits: dict[str, int] = {}
    doubtful: dict[str, list[str]] = {}

    @property
    def trained_on(self) -> int:
        """Images to train on."""
        return sum(counts["train"] for counts in self.classes.values())


def read_audit(run: RunFolder) -> AuditRecord:
    """Raises DataInvalid when there is none, or a damaged one."""
    return run.read_record(AUDIT_FILE, AuditRecord)


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


def audit(train: Iterable[UsableFile], heldout: Iterable[UsableFile]) -> Audit:
    """Compares contents byte for byte, by their digests; a picture that was saved anew is another."""
    train, heldout = tuple(train), tuple(heldout)
    heldout_files = {file.digest: file.sample for file in heldout}
    used = [file for file in train if file.digest not in heldout_files]
    return Audit(
        duplicates=tuple(_duplicates(used)) + tuple(_duplicates(heldout)),
        leaked=tuple(
            BadFile(str(file.sample), f"the same content is held out as {heldout_files[file.digest]}")
            for file in train
            if file.digest in heldout_files
        ),
        conflicts=tuple(_conflicts(chain(train, heldout))),
        classes=_count_classes(used, heldout),
        traits=dict(sorted(Counter(trait for file in chain(used, heldout) for trait in file.traits).items())),
        doubtful=_name_doubtful((str(file.sample), file.traits) for file in chain(used, heldout)),
    )


def _by_content(files: Iterable[UsableFile]) -> Iterator[list[Sample]]:
    """Files of which there are two or more of one content."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for file in files:
        groups[file.digest].append(file.sample)
    return (group for group in groups.values() if len(group) > 1)


def _duplicates(files: Iterable[UsableFile]) -> Iterator[tuple[str, ...]]:
    return (tuple(str(sample) for sample in group) for group in _by_content(files))


def _conflicts(files: Iterable[UsableFile]) -> Iterator[tuple[str, ...]]:
    for group in _by_content(files):
        if len({sample.label for sample in group}) > 1:
            yield tuple(f"{sample.label}: {sample}" for sample in group)


def _count_classes(train: Iterable[UsableFile], heldout: Iterable[UsableFile]) -> dict[str, dict[str, int]]:
    counts = {"train": Counter(file.sample.label for file in train)}
    counts["heldout"] = Counter(file.sample.label for file in heldout)
    labels = sorted(counts["train"] | counts["heldout"])
    return {label: {part: counts[part][label] for part in counts} for label in labels}


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
