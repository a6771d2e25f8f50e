"""Files that lie on the local disk for a while, so that they need not lie in memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

from fovea.errors import Unavailable
from fovea.stores.folder import Folder


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for a file until it is put where it belongs; gone afterwards. Raises Unavailable."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="fovea-")
    except OSError as error:
        raise Unavailable(f"no temporary folder can be made: {error}") from error
    with folder as path:
        yield Path(path)


@contextmanager
def local_copy(folder: Folder, key: str) -> Iterator[Path]:
    """The object as a local file. Raises ObjectMissing, Unavailable when the store or the disk fails."""
    with scratch_folder() as scratch:
        path = scratch / "copy"
        try:
            with path.open("wb") as file:
                file.writelines(folder.pieces(key))
        except OSError as error:  # of the disk: the folder has errors of its own
            raise Unavailable(f"{path}: cannot be written: {error}") from error
        yield path


def mapped(path: Path) -> mmap:
    """The file's bytes, which the kernel reads as they are used, and may forget. Raises Unavailable."""
    try:
        with path.open("rb") as file:
            return mmap(file.fileno(), 0, access=ACCESS_READ)
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read: {error}") from error
