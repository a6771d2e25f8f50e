"""Listings and bodies of a bucket that go on where they broke off."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import obstore
from obstore.store import ObjectStore

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

# What the stores give in one answer; obstore hands on 50 at a time by itself.
_PAGE: Final = 1000
_PIECE_BYTES: Final = 1024 * 1024


class Pages:
    """A listing in key order, a page at a time. After `next` raised, it may be called again."""

    def __init__(self, store: ObjectStore, prefix: str | None) -> None:
        self._store, self._prefix = store, prefix
        self._pages: Iterator[Sequence[ObjectMeta]] | None = None
        self._last: str | None = None

    def next(self) -> "Sequence[ObjectMeta] | None":
        """The next page, None after the last."""
        if self._pages is None:
            listing = obstore.list(self._store, self._prefix, offset=self._last, chunk_size=_PAGE)
            self._pages = iter(listing)
        pages, self._pages = self._pages, None  # what has raised would say that it is at its end
        page = next(pages, None)
        self._pages = pages
        self._last = page[-1]["path"] if page else self._last
        return page


class Pieces:
    """An object's bytes, a piece at a time. After `next` raised, it may be called again."""

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._store, self._path = store, path
        self._stream: obstore.BytesStream | None = None
        self._done = 0
        self._etag: str | None = None

    def next(self) -> bytes | None:
        """The next piece, None after the last. Raises PreconditionError when the object was replaced."""
        if self._stream is None:
            result = obstore.get(self._store, self._path, options=self._rest())
            self._etag = self._etag or result.meta["e_tag"]
            self._stream = result.stream(min_chunk_size=_PIECE_BYTES)
        stream, self._stream = self._stream, None
        piece = next(stream, None)
        self._stream = stream
        self._done += len(piece) if piece else 0
        return None if piece is None else bytes(piece)

    def _rest(self) -> "GetOptions":
        if not self._done:
            return {}
        return {"range": {"offset": self._done}, **({"if_match": self._etag} if self._etag else {})}
