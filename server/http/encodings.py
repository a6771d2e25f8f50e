"""Bodies that come compressed: gzip and deflate, as tritonclient sends them."""

import zlib
from collections.abc import Iterator
from typing import Any, Final

from server.errors import BodyUnreadable, EncodingUnknown

PIECE_BYTES: Final = 1024 * 1024
"""Is made of what came in at a time: other calls go on between two pieces."""

_WINDOW_BITS: Final = {"gzip": 31, "deflate": zlib.MAX_WBITS}


class Decoder:
    """Makes a body of what comes in, in pieces of bounded size: a thousand bytes may come of one."""

    def __init__(self, encoding: str) -> None:
        """`encoding` is as Content-Encoding names it. Raises EncodingUnknown."""
        self._encoding = encoding.strip().lower() or "identity"
        if self._encoding != "identity" and self._encoding not in _WINDOW_BITS:
            known = ", ".join(_WINDOW_BITS)
            raise EncodingUnknown(f"a body here is not encoded, or is one of {known}; not {encoding[:64]!r}")
        bits = _WINDOW_BITS.get(self._encoding)
        self._inflating = None if bits is None else zlib.decompressobj(bits)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Raises BodyUnreadable."""
        if self._inflating is None:
            yield data
            return
        piece = b""
        while data or len(piece) == PIECE_BYTES:
            piece, data = self._inflate(self._inflating, data)
            yield piece

    def finish(self) -> None:
        """Raises BodyUnreadable where more should have come."""
        if self._inflating is not None and not self._inflating.eof:
            raise BodyUnreadable(f"the body ends before its {self._encoding} does")

    def _inflate(self, inflating: Any, data: bytes) -> tuple[bytes, bytes]:
        """A piece, and what of the data is left for others."""
        if inflating.eof and data:
            raise BodyUnreadable(f"the body goes on after the end of its {self._encoding}")
        try:
            piece = inflating.decompress(data, PIECE_BYTES)
        except zlib.error:
            raise BodyUnreadable(f"the body is not {self._encoding}, as its headers say") from None
        return piece, inflating.unconsumed_tail or inflating.unused_data
