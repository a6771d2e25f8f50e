"""The files below a local folder, in the order in which a bucket would list them."""

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fovea.errors import Unavailable
from fovea.printable import printable
from fovea.stores.folder import Entry

logger = logging.getLogger(__name__)

TEMPORARY: Final = ".tmp-"
"""What names of files that are being written begin with; they are not listed."""
_OF_THE_FILE_SYSTEM: Final = "lost+found"


def list_local(folder: Path) -> Iterator[Entry]:
    """Links are followed, but not round in a circle, and those that lead nowhere are left out: the log counts
    both. A folder that does not exist has no files. Raises Unavailable for one that cannot be read."""
    links = _Links()
    yield from _walk(folder, "", (os.path.realpath(folder),), links)
    for kind, (count, first) in links.left_out.items():
        logger.warning("%s: links left out that lead %s: %d; %s", folder, kind, count, printable(first))


def local_failure(path: Path, verb: str, error: OSError) -> Unavailable:
    return Unavailable(f"{path}: cannot be {verb}: {error.strerror}")


def local_entry(key: str, facts: os.stat_result) -> Entry:
    return Entry(key, facts.st_size, local_etag(facts), datetime.fromtimestamp(facts.st_mtime, UTC))


def local_etag(facts: os.stat_result) -> str:
    return f"{facts.st_mtime_ns:x}-{facts.st_size:x}"


def is_folder(child: os.DirEntry[str]) -> bool:
    """Whether it is one, or a link to one."""
    # Of a link that cannot be followed the entry itself, and pathlib, would raise.
    return os.path.isdir(child.path) if child.is_symlink() else child.is_dir()  # noqa: PTH112


def lies_in(place: str, other: str) -> bool:
    """Whether a real path is another, or below it."""
    return place == other or place.startswith(other.rstrip("/") + "/")


@dataclass
class _Links:
    left_out: dict[str, tuple[int, str]] = field(default_factory=dict)
    """where they lead -> how many, and the first one's key"""

    def leave_out(self, key: str, kind: str) -> None:
        count, first = self.left_out.get(kind, (0, key))
        self.left_out[kind] = (count + 1, first)


def _walk(folder: Path, prefix: str, above: tuple[str, ...], links: _Links) -> Iterator[Entry]:
    """Sorted as a bucket sorts: a folder stands where its name with a `/` does. `above` are the real paths of
    this folder and of those that lead to it."""
    for name, child in _children(folder):
        key = prefix + name
        if not name.endswith("/"):
            yield from _file_entry(child, key, links)
            continue
        real = os.path.realpath(child.path) if child.is_symlink() else f"{above[-1]}/{child.name}"
        if child.is_symlink() and any(lies_in(place, real) for place in above):
            links.leave_out(key, "round in a circle")
        else:
            yield from _walk(Path(child.path), key, (*above, real), links)


def _children(folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as children:
            pairs = [(child.name + "/" if is_folder(child) else child.name, child) for child in children]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if isinstance(error, PermissionError) and folder.name == _OF_THE_FILE_SYSTEM:
            return []
        raise local_failure(folder, "listed", error) from error
    return sorted(pairs, key=lambda pair: os.fsencode(pair[0]))


def _file_entry(child: os.DirEntry[str], key: str, links: _Links) -> Iterator[Entry]:
    if child.name.startswith(TEMPORARY):
        return
    try:
        facts = child.stat()
    except OSError as error:
        if child.is_symlink():
            links.leave_out(key, "nowhere")
        elif not isinstance(error, FileNotFoundError):  # gone since it was listed
            raise local_failure(Path(child.path), "listed", error) from error
        return
    if stat.S_ISREG(facts.st_mode):
        yield local_entry(key, facts)
