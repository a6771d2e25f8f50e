"""Which images belong together, of one patient, camera or session: told by a column, or by their paths."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import BaseModel

from fovea.errors import DataInvalid
from trainer.images.labels import normal_label
from trainer.images.listing import Listing, Sample

PARTS: Final = ("train", "heldout", "test")
WHERE: Final = ("trained on", "held out", "in test")


@dataclass(frozen=True)
class Grouping:
    """By one of the two, or by none."""

    column: str | None = None
    """of a CSV file"""
    pattern: str | None = None
    """a regular expression, searched in an image's path as its source has it: its group `group`, or its only
    one"""

    def __bool__(self) -> bool:
        return bool(self.column or self.pattern)

    def __str__(self) -> str:
        return f"--group {self.column}" if self.column else f"--group-pattern {self.pattern}"

    def check_source(self, data: str) -> None:
        """Raises DataInvalid where a column is asked of what has none."""
        if self.column and not data.endswith(".csv"):
            raise DataInvalid(
                f"--group {self.column}: {data} is no CSV file and has no columns; --group-pattern takes the "
                "group out of the path"
            )

    def apply(self, listing: Listing) -> None:
        """Raises DataInvalid where the pattern finds no group in some path."""
        if self.pattern is None:
            return
        wanted = re.compile(self.pattern)
        parts = [listing.train, *listing.heldout.values(), listing.unassigned]
        for samples in parts:
            samples[:] = [replace(sample, group=_found(wanted, str(sample))) for sample in samples]
        missed = [sample for samples in parts for sample in samples if not sample.group]
        if missed:
            raise DataInvalid(
                f"--group-pattern {self.pattern}: it finds no group in {len(missed)} of {len(listing.all())} "
                f"paths, such as {missed[0]}; every image needs one"
            )


UNGROUPED: Final = Grouping()


def _found(wanted: re.Pattern[str], path: str) -> str:
    match = wanted.search(path)
    group = match and match["group" if "group" in wanted.groupindex else 1]
    return normal_label(group or "")


@dataclass(frozen=True)
class GroupLeak:
    """A file that was left out, for a later part has others of its group."""

    path: str
    reason: str


class GroupsRecord(BaseModel, frozen=True):
    """How images were kept together over the split."""

    by: str
    """the option that said it"""
    groups: dict[str, int]
    """part -> groups in it: train, heldout, and test where there is such a part"""
    images: dict[str, int]
    """part -> images"""
    largest: str
    """the group of most images"""
    largest_images: int
    of_one_group: list[str] = []
    """classes whose images are all of one group, which is trained on"""
    leaked: list[GroupLeak] = []
    copies: list[tuple[str, ...]] = []
    """files of two groups or more that are the same or nearly, each as `group: path`"""

    def line(self) -> str:
        told = ("to train on", "held out", "to test on")
        counts = zip(PARTS, told, strict=True)
        return ", ".join(f"{self.groups[part]} {words}" for part, words in counts if part in self.groups)

    def with_copies(self, copies: list[tuple[str, ...]]) -> "GroupsRecord":
        return self.model_copy(update={"copies": copies}) if copies else self

    def findings(self) -> Iterator[str]:
        """A line for each kind, with its first example."""
        if self.leaked:
            first = self.leaked[0]
            yield (
                "images left out for a later part has others of their group: "
                f"{len(self.leaked)}; {first.path}: {first.reason}"
            )
        if self.of_one_group:
            yield (
                "classes whose images are all of one group, so that none are held out: "
                f"{len(self.of_one_group)}; {self.of_one_group[0]!r}"
            )
        if self.copies:
            yield (
                "the same or nearly the same pictures in different groups (are those one?): "
                f"{len(self.copies)}; {' and '.join(self.copies[0][:2])}"
            )


@dataclass(frozen=True)
class Apart:
    """The parts of a split without what would have a group on two sides."""

    parts: Sequence[Sequence[Sample]]
    leaked: tuple[GroupLeak, ...] = ()


def keep_apart(parts: Sequence[Sequence[Sample]]) -> Apart:
    """Of a group that several parts have, the last one keeps its images."""
    last = {sample.group: number for number, part in enumerate(parts) for sample in part}
    kept = tuple(
        tuple(sample for sample in part if last[sample.group] == number) for number, part in enumerate(parts)
    )
    leaked = (
        GroupLeak(str(sample), f"of its group {sample.group!r} others are {WHERE[last[sample.group]]}")
        for number, part in enumerate(parts)
        for sample in part
        if last[sample.group] != number
    )
    return Apart(kept, tuple(leaked))


def record_groups(
    grouping: Grouping, parts: Sequence[Sequence[Sample]], leaked: Iterable[GroupLeak]
) -> GroupsRecord:
    """`parts` are train, held out and test."""
    named = {name: part for name, part in zip(PARTS, parts, strict=True) if part or name != "test"}
    sizes = Counter(sample.group for part in parts for sample in part)
    largest, images = max(sizes.items(), key=lambda pair: (pair[1], str(pair[0])))
    groups_of: dict[str, set[str | None]] = {}
    for sample in (sample for part in parts for sample in part):
        for label in sample.named:
            groups_of.setdefault(label, set()).add(sample.group)
    return GroupsRecord(
        by=str(grouping),
        groups={name: len({sample.group for sample in part}) for name, part in named.items()},
        images={name: len(part) for name, part in named.items()},
        largest=str(largest),
        largest_images=images,
        of_one_group=sorted(label for label, groups in groups_of.items() if len(groups) == 1),
        leaked=list(leaked),
    )
