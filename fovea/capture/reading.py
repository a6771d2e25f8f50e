"""Captures, read again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from fovea.capture.files import began_of, days_of, require_pyarrow
from fovea.capture.rows import Captured
from fovea.errors import ObjectMissing, Unavailable
from fovea.stores.folder import Folder
from fovea.stores.storage import open_folder


def read_captures(uri: str) -> Iterator[Captured]:
    """Each captured answer below a folder or a bucket's prefix, the oldest window first.

    A row group of one file is in memory at a time, some 8 MiB of images or one that is larger; the file
    itself is copied to the local disk meanwhile. What is not named as a capture is passed over.
    Raises SettingsInvalid without pyarrow or for a URI that is none, Unavailable, DataInvalid for a file that
    is damaged, which it names. A file that was removed since it was listed has no rows.
    """
    require_pyarrow(uri)
    folder = open_folder(uri, long_retries=True)
    for key in _keys(folder):
        try:
            yield from _rows(folder, key)
        except OSError as error:  # of the disk: the folder has errors of its own
            raise Unavailable(f"no temporary copy of {key} can be made: {error}") from error


def _rows(folder: Folder, key: str) -> Iterator[Captured]:
    from fovea.capture.parquet import decode

    with tempfile.NamedTemporaryFile(prefix="fovea-", suffix=".parquet") as copy:
        try:
            copy.writelines(folder.pieces(key))
        except ObjectMissing:  # its time is over
            return
        copy.flush()
        yield from decode(Path(copy.name), f"{folder.uri}/{key}")


def _keys(folder: Folder) -> Iterator[str]:
    for day in days_of(folder):
        keys = (f"{day}/{entry.key}" for entry in folder.folder(day).entries())
        yield from (key for key in keys if began_of(key))
