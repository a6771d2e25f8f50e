"""A folder as it was found: its images and folders, read once. What is no image is counted and named."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.images.kinds import TELLING_BYTES, begins_as_image
from fovea.images.names import is_decided_by_bytes, is_image_name, is_litter, kind_of
from fovea.images.passed_over import PassedOver
from fovea.printable import printable
from fovea.stores.local_listing import is_folder, lies_in

DEAD_LINK: Final = "links that lead nowhere"
LOOP: Final = "links to a folder that they lie in"
NO_FILE: Final = "no files (sockets, pipes, devices)"
READ_TWICE: Final = "links to a folder of the class itself"


@dataclass
class SourceFolder:
    """A folder of a source: what lies in it, and what it is called from the source on."""

    path: Path
    name: str
    """`train/cat`; empty for the source itself"""
    real: str
    """the path without links"""
    images: list[Path] = field(default_factory=list)
    folders: list["SourceFolder"] = field(default_factory=list)
    """also those that a link leads to"""

    @property
    def own_name(self) -> str:
        return self.path.name

    @property
    def is_link(self) -> bool:
        return self.path.is_symlink()

    def folders_with_images(self) -> list["SourceFolder"]:
        """The folders directly below that hold an image, at any depth."""
        return [folder for folder in self.folders if folder.holds_images()]

    def holds_images(self) -> bool:
        return bool(self.images) or any(folder.holds_images() for folder in self.folders)

    def count(self) -> int:
        """Images at any depth."""
        return len(self.images) + sum(folder.count() for folder in self.folders)

    def all_images(self, passed_over: PassedOver) -> list[Path]:
        """At any depth, sorted. A folder to which several links lead is read once, and they are counted."""
        return sorted(self._images_once(passed_over, set()))

    def _images_once(self, passed_over: PassedOver, seen: set[str]) -> Iterator[Path]:
        seen.add(self.real)
        yield from self.images
        for folder in sorted(self.folders, key=lambda folder: (folder.is_link, folder.path)):
            if folder.real in seen:
                passed_over.add(folder.name, READ_TWICE)
            else:
                yield from folder._images_once(passed_over, seen)


def read_tree(path: Path, source: str, passed_over: PassedOver, ignored: frozenset[str]) -> SourceFolder:
    """All of a folder but what is `ignored` directly in it, links followed. Raises DataInvalid, with the name
    that it has in `source`, for a folder that cannot be read."""
    root = SourceFolder(path, "", os.path.realpath(path))
    _read(root, (root.real,), _Context(source, passed_over, ignored))
    return root


@dataclass(frozen=True)
class _Context:
    source: str
    passed_over: PassedOver
    ignored: frozenset[str]


def _read(folder: SourceFolder, above: tuple[str, ...], context: _Context) -> None:
    try:
        with os.scandir(folder.path) as entries:
            children = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        where = printable(f"{context.source}/{folder.name}".rstrip("/"))
        raise DataInvalid(f"{where}: this folder cannot be read: {error.strerror}") from error
    for child in children:
        if folder.name or child.name not in context.ignored:
            _add_entry(child, folder, above, context)


def _add_entry(
    child: os.DirEntry[str], folder: SourceFolder, above: tuple[str, ...], context: _Context
) -> None:
    name = f"{folder.name}/{child.name}".lstrip("/")
    if is_folder(child):
        below = SourceFolder(Path(child.path), name, os.path.realpath(child.path))
        kind = kind_of(child.name) if is_litter(child.name) else LOOP
        if is_litter(child.name) or any(lies_in(upper, below.real) for upper in above):
            context.passed_over.add(f"{name}/", kind)
            return
        folder.folders.append(below)
        _read(below, (*above, below.real), context)
    elif not _is_file(child):
        context.passed_over.add(name, DEAD_LINK if child.is_symlink() else NO_FILE)
    elif is_image_name(child.name) or _has_only_the_bytes_of_an_image(child):
        folder.images.append(Path(child.path))
    else:
        context.passed_over.add(name, kind_of(child.name))


def _is_file(child: os.DirEntry[str]) -> bool:
    # As in `is_folder`.
    return os.path.isfile(child.path) if child.is_symlink() else child.is_file()  # noqa: PTH113


def _has_only_the_bytes_of_an_image(file: os.DirEntry[str]) -> bool:
    """A file without an ending whose first bytes are those of a format that is read."""
    if not is_decided_by_bytes(file.name):
        return False
    try:
        with Path(file.path).open("rb") as stream:
            return begins_as_image(stream.read(TELLING_BYTES))
    except OSError:
        return False
