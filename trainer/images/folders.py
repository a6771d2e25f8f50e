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
from trainer.images.tree import SourceFolder, read_tree

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
    layout = _Layout(root, source.rstrip("/"), listing.passed_over, {fold_label(label) for label in known})
    _pass_over_unplaced(root, listing.passed_over)
    parts = {} if layout.are_known(root.folders_with_images()) else layout.parts()
    if not parts:
        layout.check_layout()
        listing.unassigned.extend(layout.samples(root))
    for part, folder in parts.items():
        images = layout.samples(folder)
        listing.train.extend(images) if part == TRAIN else listing.heldout.update({part: images})
    return listing


@dataclass(frozen=True)
class _Layout:
    root: SourceFolder
    source: str
    passed_over: PassedOver
    known: set[str]
    """labels, folded"""

    def parts(self) -> dict[str, SourceFolder]:
        """The folder of each part with classes in it; nothing where the folders are no parts. Images of the
        other folders are passed over then."""
        folders = self.root.folders_with_images()
        named = parts_of(folder.own_name for folder in folders)
        labelled: dict[str, list[SourceFolder]] = defaultdict(list)
        labels = self.known
        for part in (TRAIN, VAL, TEST):
            for folder in (folder for folder in folders if named.get(folder.own_name) == part):
                inside = _without_wrapping(folder, labels)
                if _holds_classes(inside, labels):
                    labelled[part].append(inside)
            if part == TRAIN and labelled[TRAIN]:
                labels = {fold_label(folder.own_name) for folder in labelled[TRAIN][0].folders_with_images()}
        others = [folder for folder in folders if folder.own_name not in named]
        if not labelled[TRAIN] and (others or not folders):
            return {}
        self._check_parts(labelled, others, only=len(named) == 1)
        parts = {part: inside[0] for part, inside in labelled.items() if inside}
        self._pass_over_others(parts, folders, named)
        return parts

    def _check_parts(
        self, labelled: dict[str, list[SourceFolder]], others: list[SourceFolder], *, only: bool
    ) -> None:
        for part, folders in labelled.items():
            if len(folders) > 1:
                both = " and ".join(self.at(folder) for folder in folders)
                raise DataInvalid(f"{both} are both called as the part {part}: move one away, or rename it")
        if others and only:
            train = labelled[TRAIN][0]
            classes = _names(train.folders_with_images())
            raise DataInvalid(
                f"{self.at(train)} holds folders ({classes}) as a part of a split does, and "
                f"what lies beside it, {_names(others)}, is called like no part: rename it to val/ or test/, "
                f"move it away, or give --data {self.at(train)}"
            )
        if not any(labelled.values()):
            unlabelled = _names(self.root.folders_with_images())
            raise DataInvalid(
                f"{self.source}: the images of {unlabelled} lie in no class's folder; a "
                f"label is a folder's name ({self.source}/train/CLASS/*.jpg), or stands in a CSV file "
                f"(path,label,split){tables_in(self.passed_over)}"
            )

    def _pass_over_others(
        self, parts: dict[str, SourceFolder], folders: Iterable[SourceFolder], named: dict[str, str]
    ) -> None:
        taken = [folder.name for folder in parts.values()]
        for folder in folders:
            if not any(f"{name}/".startswith(f"{folder.name}/") for name in taken):
                self._pass_over(folder, UNLABELLED_PART.get(named.get(folder.own_name), BESIDE))
        for folder in parts.values():
            _pass_over_unplaced(folder, self.passed_over)

    def _pass_over(self, folder: SourceFolder, kind: str) -> None:
        for image in folder.all_images(self.passed_over):
            self.passed_over.add(self._display_name(image), kind)

    def check_layout(self) -> None:
        """Raises DataInvalid where the folders of the root are no classes by what is in them."""
        folders = self.root.folders_with_images()
        if not folders and self.root.images:
            raise DataInvalid(
                f"{self.source}: its images ({len(self.root.images)}) lie in no class's folder; a label is a "
                f"folder's name ({self.source}/CLASS/*.jpg), or stands in a CSV file (path,label)"
                f"{tables_in(self.passed_over)}"
            )
        if self.are_known(folders):
            return
        inside = _without_wrapping(self.root, self.known)
        if inside is not self.root:
            raise DataInvalid(
                f"{self.source}: all its images lie in {printable(inside.name)}/, in the folders "
                f"{_names(inside.folders_with_images())}: give --data {self.at(inside)}"
            )

    def samples(self, parent: SourceFolder) -> list[Sample]:
        """Of the classes that are the folders of `parent`. Raises DataInvalid for one without an image."""
        self._check_different(parent)
        samples: list[Sample] = []
        folder_names: dict[str, list[str]] = defaultdict(list)
        for folder in parent.folders:
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

    def _check_different(self, parent: SourceFolder) -> None:
        """Folders that hold the same folders, and few images beside them, are parts of something."""
        folders = parent.folders_with_images()
        inside = [
            {normal_label(folder.own_name) for folder in below.folders_with_images()} for below in folders
        ]
        if len(folders) < 2 or self.are_known(folders) or not all(map(_is_mostly_folders, folders)):
            return
        shared = set.intersection(*inside)
        if len(shared) > 1:
            raise DataInvalid(
                f"{self.at(parent)}: its folders {_names(folders)} all hold the same folders "
                f"({_join(sorted(shared))}), so they are no classes but parts: call the parts train, val "
                "and test, give one of them, or a CSV file (path,label,split)"
            )

    def _label_of(self, folder: SourceFolder) -> str:
        label = normal_label(folder.own_name)
        if not label or not label.isprintable():
            raise DataInvalid(f"{self.at(folder)}: the name of a class should be printable UTF-8 text")
        return label

    def _other_files(self, folder: SourceFolder) -> str:
        kinds = [
            kind
            for kind, files in self.passed_over.kinds.items()
            if any(name.startswith(f"{folder.name}/") for name in files.names)
        ]
        return f" ({_join(kinds)} instead)" if kinds else ""

    def are_known(self, folders: Sequence[SourceFolder]) -> bool:
        return bool(folders) and all(fold_label(folder.own_name) in self.known for folder in folders)

    def at(self, folder: SourceFolder) -> str:
        return printable(f"{self.source}/{folder.name}".rstrip("/"))

    def _display_name(self, image: Path) -> str:
        return printable(str(image.relative_to(self.root.path)))


def _pass_over_unplaced(parent: SourceFolder, passed_over: PassedOver) -> None:
    for image in parent.images:
        passed_over.add(f"{parent.name}/{image.name}".lstrip("/"), UNPLACED)


def _without_wrapping(parent: SourceFolder, labels: Collection[str]) -> SourceFolder:
    """Down to where there is more than one folder: archives are often packed with a folder around all."""
    folders = parent.folders_with_images()
    if (
        parent.images
        or len(folders) != 1
        or fold_label(folders[0].own_name) in labels
        or not folders[0].folders_with_images()
    ):
        return parent
    return _without_wrapping(folders[0], labels)


def _holds_classes(parent: SourceFolder, labels: Collection[str]) -> bool:
    """Most images lie in folders of it, and not in a single one around all, which is no label."""
    folders = parent.folders_with_images()
    if len(folders) == 1 and labels and fold_label(folders[0].own_name) not in labels:
        return False
    return _is_mostly_folders(parent)


def _is_mostly_folders(parent: SourceFolder) -> bool:
    return parent.count() > 2 * len(parent.images)


def _names(folders: Iterable[SourceFolder]) -> str:
    return _join([printable(folder.own_name) for folder in folders])


def _join(names: Sequence[str], most: int = 4) -> str:
    first = ", ".join(names[:most])
    return f"{first} and {len(names) - most} more" if len(names) > most else first
