"""The header of a JPEG XL file (ISO/IEC 18181), read before its decoder, which decodes all as it opens it.

A file is a bare codestream, or boxes of which `jxlc` or several `jxlp` hold it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from fovea.errors import ImageInvalid

CODESTREAM: Final = b"\xff\x0a"
CONTAINER: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
STARTS: Final = (CODESTREAM, CONTAINER)
"""Of the files."""
MAX_BOXES: Final = 10_000
HEADER_BYTES: Final = 64
"""Of the codestream: more than the longest header up to where it says whether it is animated."""

_RATIOS: Final = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
"""Width to height, by the header's three bits; 0 says that the width follows."""


@dataclass(frozen=True)
class Header:
    """What is known before anything is decoded; width and height are as stored, before turning."""

    width: int
    height: int
    is_animated: bool


def read_header(data: bytes) -> Header:
    """Raises ImageInvalid for what is cut off or damaged before the size is known."""
    try:
        bits = _Bits(_codestream_start(data))
        width, height = _read_size(bits)
        return Header(width, height, _read_is_animated(bits))
    except EOFError as error:
        raise ImageInvalid("undecodable", "the image's JPEG XL header is damaged or cut off") from error


def bare(data: bytes) -> bytes:
    """The file with its codestream alone: neither texts nor the JPEG that it was made from are unpacked.

    The decoder would rebuild that JPEG and open it past every guard; its pixels are in the codestream too.
    """
    if not data.startswith(CONTAINER):
        return data
    kinds = (b"JXL ", b"ftyp", b"jxll", b"jxlc", b"jxlp")
    return b"".join(data[box.start : box.end] for box in _boxes(data) if box.kind in kinds)


class _Box(NamedTuple):
    kind: bytes
    start: int
    body: int
    end: int


def _boxes(data: bytes) -> Iterator[_Box]:
    """Up to what is cut off, or shorter than its own head. Raises ImageInvalid for too many."""
    at = 0
    for _ in range(MAX_BOXES):
        length, kind, body = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], at + 8
        if length == 1:
            length, body = int.from_bytes(data[body : body + 8]), body + 8
        end = len(data) if length == 0 else at + length
        if body > len(data) or end < body:
            return
        yield _Box(kind, at, body, min(end, len(data)))
        at = end
    raise ImageInvalid("undecodable", f"the image has more than {MAX_BOXES} boxes")


def _codestream_start(data: bytes) -> bytes:
    if data.startswith(CODESTREAM):
        return data[2:HEADER_BYTES]
    start = b""
    for box in _boxes(data):
        if box.kind == b"jxlc":
            start = data[box.body : min(box.end, box.body + HEADER_BYTES)]
            break
        if box.kind == b"jxlp":  # four bytes of its number come first
            start += data[box.body + 4 : min(box.end, box.body + 4 + HEADER_BYTES)]
            if len(start) >= HEADER_BYTES:
                break
    if not start.startswith(CODESTREAM):
        raise EOFError
    return start[2:HEADER_BYTES]


class _Bits:
    """Numbers of some bits, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def read(self, bits: int) -> int:
        if bits > self._left:
            raise EOFError
        value = self._number & ((1 << bits) - 1)
        self._number >>= bits
        self._left -= bits
        return value

    def flag(self) -> bool:
        return self.read(1) == 1

    def u32(self, *choices: tuple[int, int]) -> int:
        """Two bits choose (bits, added)."""
        bits, added = choices[self.read(2)]
        return added + self.read(bits)


def _read_size(bits: _Bits) -> tuple[int, int]:
    """Width and height, by the bundle that the standard calls SizeHeader."""
    is_small = bits.flag()
    height = _read_side(bits, is_small)
    ratio = _RATIOS.get(bits.read(3))
    width = height * ratio[0] // ratio[1] if ratio else _read_side(bits, is_small)
    return width, height


def _read_side(bits: _Bits, is_small: bool) -> int:
    return 8 * (1 + bits.read(5)) if is_small else bits.u32((9, 1), (13, 1), (18, 1), (30, 1))


def _read_is_animated(bits: _Bits) -> bool:
    """By the bundle that the standard calls ImageMetadata."""
    if bits.flag() or not bits.flag():  # all is as usual, or nothing beside the samples is said
        return False
    bits.read(3)  # the orientation
    if bits.flag():
        _read_size(bits)  # at which it is meant to be shown
    if bits.flag():
        _read_preview(bits)
    return bits.flag()


def _read_preview(bits: _Bits) -> None:
    """By the bundle that the standard calls PreviewHeader, whose sides are of no use here."""
    is_in_eights = bits.flag()
    bits_of_side = (0, 0, 5, 9) if is_in_eights else (6, 8, 10, 12)
    bits.read(bits_of_side[bits.read(2)])
    if not bits.read(3):  # no ratio: the width follows
        bits.read(bits_of_side[bits.read(2)])
