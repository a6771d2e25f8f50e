"""The folders that a run works with: the images', its output, and one on the local disk for a while."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

from fovea.errors import DataInvalid, Unavailable
from fovea.stores.conditional_puts import require_conditional_puts
from fovea.stores.folder import Folder
from fovea.stores.storage import LocalFolder, open_folder, open_reachable


def open_source(uri: str, *, first: bool = False) -> Folder:
    """Raises DataInvalid for a local folder that does not exist; a prefix without objects is just empty.

    A bucket is opened with long retries; by the `first` to open it, who may have mistyped its endpoint, as by
    `open_reachable`, which may raise Unavailable.
    """
    source = open_reachable(uri) if first else open_folder(uri, long_retries=True)
    if isinstance(source, LocalFolder) and not source.path.is_dir():
        raise DataInvalid(f"{source.uri}: there is no such folder; SOURCE is a folder of images or a prefix")
    return source


def open_output(uri: str) -> Folder:
    """Raises SettingsInvalid for a store that lets one of two workers replace what the other has committed,
    Unavailable when it cannot be written."""
    output = open_reachable(uri)
    require_conditional_puts(output)
    return output


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
