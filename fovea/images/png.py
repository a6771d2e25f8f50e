"""A PNG without what it says beside its pixels, and what of that may say which way up it is."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from fovea.errors import ImageInvalid
from fovea.images import decode_limits

START: Final = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES: Final = 1024 * 1024
"""Of a text in which an orientation may stand; of a longer one, this much is looked at."""


def split(data: bytes) -> tuple[bytes, bytes, bytes]:
    """The file, its EXIF and its XMP, each empty where there is none.

    The file is without what comes after it, and without the chunks that may be left out, but tRNS, which is
    transparency. Raises ImageInvalid for one in a million pieces.
    """
    chunks, exif, xmp, profile = [data[:8]], b"", b"", b""
    for name, start, end in _chunks(data):
        if not name[0] & 0x20 or name == b"tRNS":
            chunks.append(data[start:end])
        elif name == b"eXIf":
            exif = exif or data[start + 8 : end - 4]
        elif name == b"iTXt" and data.startswith(b"XML:com.adobe.xmp\0", start + 8):
            xmp = xmp or _text(data[start + 8 : end - 4])
        elif name in {b"zTXt", b"tEXt"} and data.startswith(b"Raw profile type exif\0", start + 8):
            profile = profile or _hexadecimal(_text(data[start + 8 : end - 4], packed=name == b"zTXt"))
    return b"".join(chunks), exif or profile, xmp


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(START)
    for _ in range(decode_limits.MAX_PIECES):
        if at + 12 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or not name.isalpha():
            yield b"LAST", at, len(data)
            return
        yield name, at, end
        if name == b"IEND":
            return
        at = end
    raise ImageInvalid("undecodable", "the image is in too many small pieces")


def _text(chunk: bytes, *, packed: bool = False) -> bytes:
    """What follows the keyword of a text chunk, unpacked as far as a megabyte."""
    _, _, text = chunk.partition(b"\0")
    if not packed and chunk.startswith(b"XML"):
        packed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
    elif packed:
        text = text[1:]
    try:
        return zlib.decompressobj().decompress(text, MAX_TEXT_BYTES) if packed else text[:MAX_TEXT_BYTES]
    except zlib.error:
        return b""


def _hexadecimal(profile: bytes) -> bytes:
    """As ImageMagick writes EXIF into a text: name, length and lines of hexadecimal."""
    try:
        return bytes.fromhex(b"".join(profile.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""
