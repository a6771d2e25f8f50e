"""Images of a bucket, copied to a folder that keeps them for the next run."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid, ObjectMissing, ObjectUnreadable
from fovea.ordered import Window, ordered_map
from fovea.stores.folder import Entry, Folder
from fovea.stores.object_keys import is_odd
from fovea.stores.storage import LocalFolder, open_folder
from trainer.progress import show_progress

THREADS: Final = 16
"""Objects that are fetched at a time: they wait for the network, not for a core."""
ETAGS_FOLDER: Final = ".etags"
LONGEST_NAME_BYTES: Final = 255
"""Of a file or a folder, on the file systems of Linux."""

NO_FILE: Final = "whose key can be no file's name"
IS_FOLDER: Final = "whose key is a folder's too"
NOT_GIVEN: Final = "that the store does not give"


@dataclass(frozen=True)
class Fetched:
    """A local copy."""

    path: Path
    left_out: tuple[tuple[str, str], ...] = ()
    """the key of each object that is not in it, and which sort it is of"""


def fetch(uri: str, cache_dir: Path) -> Fetched:
    """The local copy of everything under `uri`, a folder, or of a CSV file, whose neighbours come with it.

    An object is fetched again when its etag changes; what the bucket no longer has is removed. A fetch that
    is broken off goes on where it was. Raises DataInvalid when nothing is there, Unavailable when the bucket
    cannot be reached.
    """
    folder, name = uri.rsplit("/", 1) if uri.endswith(".csv") else (uri, "")
    cache = LocalFolder(cache_dir / "buckets" / hashlib.sha256(folder.encode()).hexdigest()[:16])
    source = open_folder(folder)
    entries = list(source.entries())
    if not entries:
        raise DataInvalid(f"{uri}: there is nothing under this URI")
    refused = _refused(entries)
    entries = [entry for entry in entries if entry.key not in refused]
    _remove_others({entry.key for entry in entries}, cache)
    missing = [entry for entry in entries if not _is_cached(entry, cache)]
    fetched = ordered_map(lambda entry: _copy(entry, source, cache), missing, THREADS, Window(4 * THREADS))
    for entry, is_copied in zip(missing, show_progress(fetched, "fetching", len(missing)), strict=True):
        if not is_copied:
            refused[entry.key] = NOT_GIVEN
    return Fetched(cache.path / name, tuple(sorted(refused.items())))


def _refused(entries: Iterable[Entry]) -> dict[str, str]:
    """The keys that cannot be laid out as files, each with its sort."""
    keys = [entry.key for entry in entries]
    folders = {key[:at] for key in keys for at, letter in enumerate(key) if letter == "/"}
    refused = {key: IS_FOLDER for key in keys if key in folders}
    return refused | {key: NO_FILE for key in keys if is_odd(key) or _is_too_long(key)}


def _is_too_long(key: str) -> bool:
    return any(len(segment.encode()) > LONGEST_NAME_BYTES for segment in key.split("/"))


def _is_cached(entry: Entry, cache: LocalFolder) -> bool:
    try:
        return cache.exists(entry.key) and cache.read(f"{ETAGS_FOLDER}/{entry.key}") == entry.etag.encode()
    except ObjectMissing:
        return False


def _copy(entry: Entry, source: Folder, cache: LocalFolder) -> bool:
    """False when the store has no such object by now, or does not give it. The mark comes last, so that it
    stands for a whole file."""
    try:
        data = source.read(entry.key)
    except (ObjectMissing, ObjectUnreadable):
        return False
    cache.write(entry.key, data)
    cache.write(f"{ETAGS_FOLDER}/{entry.key}", entry.etag.encode())
    return True


def _remove_others(keys: set[str], cache: LocalFolder) -> None:
    """Of an earlier fetch, with the folders that hold nothing then: a file may want their name."""
    others = [
        entry.key for entry in cache.entries() if entry.key.removeprefix(f"{ETAGS_FOLDER}/") not in keys
    ]
    for key in others:
        (cache.path / key).unlink()
        for folder in (cache.path / key).parents:
            if folder == cache.path or any(folder.iterdir()):
                break
            folder.rmdir()
