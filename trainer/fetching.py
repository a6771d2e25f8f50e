"""Images of a bucket, copied to a folder that keeps them for the next run."""

import hashlib
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid, ObjectMissing
from fovea.folder import Entry, Folder
from fovea.ordered import Bound, ordered_map
from fovea.storage import LocalFolder, open_folder
from trainer.progress import show_progress

THREADS: Final = 16
"""Objects that are fetched at a time: they wait for the network, not for a core."""
MARKS: Final = ".etags"


def fetch(uri: str, cache_dir: Path) -> Path:
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
    for entry in entries:
        if ".." in entry.key.split("/"):
            raise DataInvalid(f"{folder}/{entry.key}: a key that leads out of the folder")
    missing = [entry for entry in entries if not _is_cached(entry, cache)]
    fetched = ordered_map(lambda entry: _copy(entry, source, cache), missing, THREADS, Bound(4 * THREADS))
    for _ in show_progress(fetched, "fetching", len(missing)):
        pass
    _remove_others({entry.key for entry in entries}, cache)
    return cache.path / name


def _is_cached(entry: Entry, cache: LocalFolder) -> bool:
    try:
        return cache.exists(entry.key) and cache.read(f"{MARKS}/{entry.key}") == entry.etag.encode()
    except ObjectMissing:
        return False


def _copy(entry: Entry, source: Folder, cache: LocalFolder) -> None:
    """The mark last, so that it stands for a whole file."""
    cache.write(entry.key, source.read(entry.key))
    cache.write(f"{MARKS}/{entry.key}", entry.etag.encode())


def _remove_others(keys: set[str], cache: LocalFolder) -> None:
    for entry in list(cache.entries()):
        if entry.key.removeprefix(f"{MARKS}/") not in keys:
            (cache.path / entry.key).unlink()
