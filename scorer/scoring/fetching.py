"""Fetches the planned images: each as it was planned, or why not."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from fovea.errors import ObjectChanged, ObjectMissing, ObjectUnreadable, Unavailable
from fovea.stores.folder import Entry
from scorer.files.folders import open_source
from scorer.files.plan import RunSpec
from scorer.files.rows import Failure

LOST_AFTER_READS: Final = 100
"""So many reads that fail in a row mean that the store is gone, not that so many images are bad."""

Fetched = tuple[Entry, bytes | Failure]


class Fetcher:
    """Reads the images of one shard, from any number of threads.

    Raises DataInvalid when the source is a local folder that is not there any more.
    """

    def __init__(self, run: RunSpec) -> None:
        self._max_image_bytes = run.max_image_bytes
        self._source = open_source(run.source)

    def size_bytes(self, entry: Entry) -> int:
        """What fetching this image takes of the memory."""
        return entry.size if entry.size <= self._max_image_bytes else 0

    def ask_store(self) -> None:
        """Raises Unavailable when the store does not even list its objects."""
        next(self._source.entries(), None)

    def fetch(self, entry: Entry) -> Fetched:
        if entry.size > self._max_image_bytes:
            limit = self._max_image_bytes
            return entry, Failure("too_large", f"the image has {entry.size} bytes, more than {limit}")
        try:
            return entry, _whole(entry, self._source.read(entry.key, entry.etag))
        except ObjectMissing as error:
            return entry, Failure("gone", str(error))
        except ObjectChanged as error:
            return entry, Failure("changed", str(error))
        except ObjectUnreadable as error:
            return entry, Failure("unreadable", str(error))
        except Unavailable as error:
            return entry, Failure("unreadable", str(error), store_failed=True)


def unless_lost(fetched: Iterable[Fetched], planned: int, ask_store: Callable[[], None]) -> Iterator[Fetched]:
    """Raises Unavailable when it is the store that fails, and not a few of its `planned` objects.

    Where most rows are copied, few objects are read. If none of them can be, `ask_store` is to say why, by
    raising Unavailable when the store is gone.
    """
    images = failed_in_a_row = 0
    for entry, data in fetched:
        images += 1
        failed_in_a_row = failed_in_a_row + 1 if isinstance(data, Failure) and data.store_failed else 0
        if isinstance(data, Failure) and failed_in_a_row >= min(LOST_AFTER_READS, planned):
            raise Unavailable(f"{failed_in_a_row} reads in a row failed, the last: {data.error}")
        yield entry, data
    if images and failed_in_a_row == images:
        ask_store()


def _whole(entry: Entry, data: bytes) -> bytes:
    """Raises ObjectChanged, or Unavailable when the store gave its object, but not all of it."""
    if len(data) == entry.size:
        return data
    if not entry.etag:
        raise ObjectChanged(f"{entry.key}: changed since it was listed")
    raise Unavailable(f"{entry.key}: the store gave {len(data)} bytes of {entry.size}")
