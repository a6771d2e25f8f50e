"""What the layout of a folder says of its images: classes, or parts of a split that hold them.

A folder is taken for a part by what it is called and by what is in it. Where that is not plain, the refusal
says what is seen and what to do.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.images.passed_over import PassedOver
from fovea.printable import printable
from trainer.images.labels import fold_label, normal_label
from trainer.images.listing import Listing, Sample, tables_in
from trainer.images.parts import TEST, TRAIN, UNLABELLED, VAL, parts_of
from trainer.images.tree import Branch, read_tree

logger = logging.getLogger(__name__)

UNPLACED: Final = "in no class's folder"
UNLABELLED_PART: Final[Mapping[str | None, str]] = {
    UNLABELLED: "without labels",
    **{part: f"of {part} without labels" for part in (TRAIN, VAL, TEST)},
}
BESIDE: Final = "beside the parts of the split"


def read_folder(
    path: Path, source: str, *, known: Collection[str] = (), ignored: frozenset[str] = frozenset()
) -> Listing:
    """A folder of a folder a class, or of train, val and test with those inside, by any name that `parts_of`
    knows. `source` is what the user calls it; what is `ignored` in it is not there.

    Folders that are all called as a class that is `known` are classes, whatever they hold.
    Raises DataInvalid for a class without an image, a folder that cannot be read, and a layout that has
    another meaning than classes or parts.
    """
    listing = Listing()
    root = read_tree(path, source, listing.passed_over, ignored)
    reader = _Reader(root, source.rstrip("/"), listing.passed_over, {fold_label(label) for label in known})
    _pass_over_unplaced(root, listing.passed_over)
    parts = {} if reader.are_known(root.filled()) else reader.parts()
    if not parts:
        reader.check_layout()
        listing.unassigned.extend(reader.samples(root))
    for part, branch in parts.items():
        images = reader.samples(branch)
        listing.train.extend(images) if part == TRAIN else listing.heldout.update({part: images})
    return listing


@dataclass(frozen=True)
class _Reader:
    root: Branch
    source: str
    passed_over: PassedOver
    known: set[str]
    """labels, folded"""

    def parts(self) -> dict[str, Branch]:
        """The folder of each part with classes in it; nothing where the folders are no parts. Images of the
        other folders are passed over then."""
        filled = self.root.filled()
        named = parts_of(folder.own_name for folder in filled)
        labelled: dict[str, list[Branch]] = defaultdict(list)
        labels = self.known
        for part in (TRAIN, VAL, TEST):
            for folder in (folder for folder in filled if named.get(folder.own_name) == part):
                inside = _without_wrapping(folder, labels)
                if _holds_classes(inside, labels):
                    labelled[part].append(inside)
            if part == TRAIN and labelled[TRAIN]:
                labels = {fold_label(folder.own_name) for folder in labelled[TRAIN][0].filled()}
        others = [folder for folder in filled if folder.own_name not in named]
        if not labelled[TRAIN] and (others or not filled):
            return {}
        self._check_parts(labelled, others, only=len(named) == 1)
        parts = {part: folders[0] for part, folders in labelled.items() if folders}
        self._pass_over_others(parts, filled, named)
        return parts

    def _check_parts(self, labelled: dict[str, list[Branch]], others: list[Branch], *, only: bool) -> None:
        for part, folders in labelled.items():
            if len(folders) > 1:
                both = " and ".join(self.at(folder) for folder in folders)
                raise DataInvalid(f"{both} are both called as the part {part}: move one away, or rename it")
        if others and only:
            train = labelled[TRAIN][0]
            raise DataInvalid(
                f"{self.at(train)} holds folders ({_names(train.filled())}) as a part of a split does, and "
                f"what lies beside it, {_names(others)}, is called like no part: rename it to val/ or test/, "
                f"move it away, or give --data {self.at(train)}"
            )
        if not any(labelled.values()):
            raise DataInvalid(
                f"{self.source}: the images of {_names(self.root.filled())} lie in no class's folder; a "
                f"label is a folder's name ({self.source}/train/CLASS/*.jpg), or stands in a CSV file "
                f"(path,label,split){tables_in(self.passed_over)}"
            )

    def _pass_over_others(
        self, parts: dict[str, Branch], filled: Iterable[Branch], named: dict[str, str]
    ) -> None:
        taken = [branch.name for branch in parts.values()]
        for folder in filled:
            if not any(f"{name}/".startswith(f"{folder.name}/") for name in taken):
                self._pass_over(folder, UNLABELLED_PART.get(named.get(folder.own_name), BESIDE))
        for branch in parts.values():
            _pass_over_unplaced(branch, self.passed_over)

    def _pass_over(self, folder: Branch, kind: str) -> None:
        for image in folder.all_images(self.passed_over):
            self.passed_over.add(self._display_name(image), kind)

    def check_layout(self) -> None:
        """Raises DataInvalid where the folders of the root are no classes by what is in them."""
        filled = self.root.filled()
        if not filled and self.root.images:
            raise DataInvalid(
                f"{self.source}: its images ({len(self.root.images)}) lie in no class's folder; a label is a "
                f"folder's name ({self.source}/CLASS/*.jpg), or stands in a CSV file (path,label)"
                f"{tables_in(self.passed_over)}"
            )
        if self.are_known(filled):
            return
        inside = _without_wrapping(self.root, self.known)
        if inside is not self.root:
            raise DataInvalid(
                f"{self.source}: all its images lie in {printable(inside.name)}/, in the folders "
                f"{_names(inside.filled())}: give --data {self.at(inside)}"
            )

    def samples(self, branch: Branch) -> list[Sample]:
        """Of the classes that are the folders of a branch. Raises DataInvalid for one without an image."""
        self._check_different(branch)
        samples: list[Sample] = []
        folder_names: dict[str, list[str]] = defaultdict(list)
        for folder in branch.folders:
            label = self._label_of(folder)
            images = folder.all_images(self.passed_over)
            if not images:
                raise DataInvalid(
                    f"{self.at(folder)}: class {label!r} is empty: there is no image in this folder"
                    f"{self._other_files(folder)}"
                )
            folder_names[label].append(folder.own_name)
            samples += [Sample(image, label, self._display_name(image)) for image in images]
        for label, names in folder_names.items():
            if len(names) > 1:
                logger.info("class %r has the images of several folders: %s", label, names)
        return sorted(samples, key=lambda sample: sample.label)

    def _check_different(self, branch: Branch) -> None:
        """Folders that hold the same folders, and few images beside them, are parts of something."""
        filled = branch.filled()
        inside = [{normal_label(folder.own_name) for folder in below.filled()} for below in filled]
        if len(filled) < 2 or self.are_known(filled) or not all(map(_is_mostly_folders, filled)):
            return
        shared = set.intersection(*inside)
        if len(shared) > 1:
            raise DataInvalid(
                f"{self.at(branch)}: its folders {_names(filled)} all hold the same folders "
                f"({_join(sorted(shared))}), so they are no classes but parts: call the parts train, val "
                "and test, give one of them, or a CSV file (path,label,split)"
            )

    def _label_of(self, folder: Branch) -> str:
        label = normal_label(folder.own_name)
        if not label or not label.isprintable():
            raise DataInvalid(f"{self.at(folder)}: the name of a class should be printable UTF-8 text")
        return label

    def _other_files(self, folder: Branch) -> str:
        kinds = [
            kind
            for kind, files in self.passed_over.kinds.items()
            if any(name.startswith(f"{folder.name}/") for name in files.names)
        ]
        return f" ({_join(kinds)} instead)" if kinds else ""

    def are_known(self, folders: Sequence[Branch]) -> bool:
        return bool(folders) and all(fold_label(folder.own_name) in self.known for folder in folders)

    def at(self, branch: Branch) -> str:
        return printable(f"{self.source}/{branch.name}".rstrip("/"))

    def _display_name(self, image: Path) -> str:
        return printable(str(image.relative_to(self.root.path)))


def _pass_over_unplaced(branch: Branch, passed_over: PassedOver) -> None:
    for image in branch.images:
        passed_over.add(f"{branch.name}/{image.name}".lstrip("/"), UNPLACED)


def _without_wrapping(branch: Branch, labels: Collection[str]) -> Branch:
    """Down to where there is more than one folder: archives are often packed with a folder around all."""
    filled = branch.filled()
    if (
        branch.images
        or len(filled) != 1
        or fold_label(filled[0].own_name) in labels
        or not filled[0].filled()
    ):
        return branch
    return _without_wrapping(filled[0], labels)


def _holds_classes(branch: Branch, labels: Collection[str]) -> bool:
    """Most images lie in folders of it, and not in a single one around all, which is no label."""
    filled = branch.filled()
    if len(filled) == 1 and labels and fold_label(filled[0].own_name) not in labels:
        return False
    return _is_mostly_folders(branch)


def _is_mostly_folders(branch: Branch) -> bool:
    return branch.count() > 2 * len(branch.images)


def _names(folders: Iterable[Branch]) -> str:
    return _join([printable(folder.own_name) for folder in folders])


def _join(names: Sequence[str], most: int = 4) -> str:
    first = ", ".join(names[:most])
    return f"{first} and {len(names) - most} more" if len(names) > most else first
