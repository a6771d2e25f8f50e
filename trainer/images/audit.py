"""What is wrong or unusual with the images, found before anything is computed."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal

from pydantic import BaseModel

from fovea.errors import DataInvalid
from trainer.images.captured import CapturesRecord
from trainer.images.corrections import CorrectionsRecord
from trainer.images.grouping import GroupsRecord
from trainer.images.label_sets import LabelSetsRecord
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
    is_copy: bool = False
    """it is left out: a later part has nearly the same picture"""


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
class NearlyLeaked:
    """A file that was left out, for a later part has nearly the same picture."""

    path: str
    other: str
    """the file there"""
    reason: str


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
    """part -> its images, of a run of an older version, which did not look at them"""
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
    nearly_leaked: list[NearlyLeaked] = []
    near_duplicates: list[tuple[str, ...]] = []
    near_conflicts: list[tuple[str, ...]] = []
    near_turned: list[tuple[str, ...]] = []
    """see `Copies`"""
    pictures: dict[str, str] = {}
    """file -> a data URI, of a few of those that are named"""
    corrections: CorrectionsRecord | None = None
    """written only where there are some"""
    groups: GroupsRecord | None = None
    """written only where there are some"""
    label_sets: LabelSetsRecord | None = None
    """written only where images may have several labels"""
    captures: CapturesRecord | None = None
    """written only where there are some"""

    @property
    def trained_on(self) -> int:
        """Images to train on."""
        return self._count("train")

    @property
    def held_out(self) -> int:
        return self._count("heldout")

    @property
    def tested_on(self) -> int:
        """0 where there is no such part."""
        return self._count("test")

    @property
    def told(self) -> Literal["held-out", "test"]:
        """What the images are called that the model's figures are of."""
        return "test" if self.tested_on else "held-out"

    @property
    def not_measured(self) -> list[str]:
        """Labels of which there is none of those images."""
        if not self.tested_on:
            return self.not_heldout
        return [label for label, counts in self.classes.items() if not counts["test"]]

    def _count(self, part: str) -> int:
        if self.label_sets:
            return self.label_sets.images.get(part, 0)
        return sum(counts.get(part, 0) for counts in self.classes.values())


def read_audit(run: RunFolder) -> AuditRecord:
    """Raises DataInvalid when there is none, or a damaged one."""
    return run.read_record(AUDIT_FILE, AuditRecord)


@dataclass(frozen=True)
class Audit:
    """Findings over all usable files, before those are left out whose content a later part has too."""

    duplicates: tuple[tuple[str, ...], ...]
    """files of one content that are all to train on, all held out, or all to test on"""
    leaked: tuple[BadFile, ...]
    """training files left out, for the same content is held out or tested on; then held-out ones, for it is
    tested on"""
    conflicts: tuple[tuple[str, ...], ...]
    """files of one content under two labels or more, each as `label: path`"""
    classes: dict[str, dict[str, int]]
    """label -> {"train": n, "heldout": n}, and "test" where there is such a part, of what is used"""
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
    def not_in_test(self) -> list[str]:
        """Where there is such a part."""
        return [label for label, counts in self.classes.items() if not counts.get("test", 1)]

    @property
    def look_alikes(self) -> list[tuple[str, ...]]:
        """Labels that are classes of their own, and differ in case, blanks or dashes alone."""
        return look_alikes(self.classes)

    def findings(self) -> Iterator[str]:
        """A line for each kind of finding that matters, with its first example."""
        if self.leaked:
            first = self.leaked[0]
            tested = any("test" in counts for counts in self.classes.values())
            which = "a later part has them too" if tested else "they are held out too"
            yield f"images left out of training for {which}: {len(self.leaked)}; {first.path}"
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
        if self.not_in_test:
            yield f"classes with no image to test on: {len(self.not_in_test)}; {self.not_in_test[0]!r}"
        yield from _describe_doubtful(self.doubtful, self.traits)


def audit(
    train: Iterable[UsableFile], heldout: Iterable[UsableFile], test: Iterable[UsableFile] | None = None
) -> Audit:
    """Compares contents byte for byte, by their digests; for pictures that were saved anew, see `copies`."""
    train, heldout, tested = tuple(train), tuple(heldout), tuple(test or ())
    in_test = {file.digest: f"in test as {file.sample}" for file in tested}
    in_later = {file.digest: f"held out as {file.sample}" for file in heldout} | in_test
    parts = {"train": [f for f in train if f.digest not in in_later and not f.is_copy]}
    parts["heldout"] = [f for f in heldout if f.digest not in in_test and not f.is_copy]
    if test is not None:
        parts["test"] = list(tested)
    used = list(chain(*parts.values()))
    return Audit(
        duplicates=tuple(group for files in parts.values() for group in _duplicates(files)),
        leaked=(*_leaked(train, in_later), *_leaked(heldout, in_test)),
        conflicts=tuple(_conflicts(chain(train, heldout, tested))),
        classes=_count_classes(parts),
        traits=dict(sorted(Counter(trait for file in used for trait in file.traits).items())),
        doubtful=_name_doubtful((str(file.sample), file.traits) for file in used),
    )


def _leaked(files: Iterable[UsableFile], later: Mapping[str, str]) -> Iterator[BadFile]:
    """`later`: digest -> where a later part has that content."""
    for file in files:
        if file.digest in later:
            yield BadFile(str(file.sample), f"the same content is {later[file.digest]}")


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


def _count_classes(parts: Mapping[str, Iterable[UsableFile]]) -> dict[str, dict[str, int]]:
    counts = {
        part: Counter(label for file in files for label in file.sample.named) for part, files in parts.items()
    }
    labels = sorted(set[str]().union(*counts.values()))
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
