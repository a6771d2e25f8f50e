"""What a file says beside its pixels is read as far as it turns the image, and kept from the decoder.

Decoders unpack texts, join segments and make an object of each value, and refuse a sound image for what they
meet there. They are given the pixels alone: what metadata claims can neither cost time nor spoil an image.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from fovea.errors import ImageInvalid
from fovea.images import tiff
from fovea.images.orientation import orientation_in

MAX_PIECES: Final = 1_000_000
"""Chunks, segments or blocks of a file; half a second."""
MAX_TEXT_BYTES: Final = 1024 * 1024
"""Of a text of a PNG in which an orientation may stand; of a longer one, this much is looked at."""

JPEG: Final = b"\xff\xd8\xff"
PNG: Final = b"\x89PNG\r\n\x1a\n"
GIF: Final = (b"GIF87a", b"GIF89a")
AVIF: Final = (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")
"""From the fifth byte on."""


class Bare(NamedTuple):
    """An image file without what is said about it."""

    data: bytes
    orientation: int | None
    """As of EXIF, 1 to 8; None where the decoder knows."""
    is_lossless_jpeg: bool = False
    """Whose decoder gives it at full size alone."""


def bare(data: bytes) -> Bare:
    """Of a JPEG, PNG, GIF, TIFF or AVIF; any other file comes back as it is, and so does what is damaged.

    Raises ImageInvalid for a file in a million pieces, and as `fovea.images.tiff` does.
    """
    if data.startswith(JPEG):
        return _bare_jpeg(data)
    if data.startswith(PNG):
        return _bare_png(data)
    if data.startswith(GIF):
        return Bare(_bare_gif(data), 1)
    if data.startswith(tiff.STARTS):
        return Bare(tiff.without_long_metadata(data), None)
    if data.startswith(AVIF, 4):
        return Bare(tiff.without_long_exif(data), None)
    return Bare(data, None)


class Segment(NamedTuple):
    """Of a JPEG, before its first scan."""

    marker: int
    start: int
    """where its marker is"""
    end: int
    body: bytes


_OTHER: Final = re.compile(rb"[^\xff]")
_ALONE: Final = {0x00, 0x01, *range(0xD0, 0xD9)}
"""Markers without a length; before the first scan they say nothing."""
_SCAN, _END, _LOSSLESS = 0xDA, 0xD9, 0xC3
_FRAMES: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_HIERARCHICAL: Final = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF}


def jpeg_segments(data: bytes) -> Iterator[Segment]:
    """The last is the first scan with all that follows it, or what is cut off. Junk is passed by."""
    at = 2
    for _ in range(MAX_PIECES):
        start = data.find(b"\xff", at)
        other = _OTHER.search(data, start) if start >= 0 else None
        if other is None:
            return
        marker, at = other[0][0], other.end()
        if marker in _ALONE:
            continue
        end = at + int.from_bytes(data[at : at + 2])
        if marker in {_SCAN, _END} or end > len(data) or end < at + 2:
            yield Segment(marker, at - 2, len(data), b"")
            return
        yield Segment(marker, at - 2, end, data[at + 2 : end])
        at = end
    raise ImageInvalid("undecodable", "the image is in too many small pieces")


def odd_jpeg(data: bytes) -> str | None:
    """What kind of JPEG it is that libjpeg is not built for; None of one that it is, or that is damaged."""
    for marker, _, _, body in jpeg_segments(data):
        if marker == 0xF7:
            return "JPEG-LS"
        if marker in _FRAMES and len(body) > 5:
            bits, components = body[0], body[5]
            if bits != 8:
                return f"a JPEG of {bits} bits a sample"
            if components not in {1, 3, 4}:
                return f"a JPEG of {components} components"
            return "a hierarchical JPEG" if marker in _HIERARCHICAL else None
    return None


def _bare_jpeg(data: bytes) -> Bare:
    segments, exif, xmp, is_lossless = [data[:2]], [], b"", False
    for segment in jpeg_segments(data):
        is_lossless = is_lossless or segment.marker == _LOSSLESS
        if segment.marker == 0xE1:
            if segment.body.startswith(b"Exif\0\0"):
                exif.append(segment.body[6:])
            elif segment.body.startswith(b"http://ns.adobe.com/xap/"):
                xmp = xmp or segment.body
        elif not _is_comment(segment):
            segments.append(data[segment.start : segment.end])
    return Bare(b"".join(segments), orientation_in(b"".join(exif), xmp), is_lossless)


def _is_comment(segment: Segment) -> bool:
    """JFIF and Adobe's segment say what the colours are; no other that is an application's matters."""
    if segment.marker in {0xE0, 0xEE}:
        return not segment.body.startswith((b"JFIF\0", b"Adobe"))
    return segment.marker in range(0xE0, 0xF0) or segment.marker == 0xFE


def _bare_png(data: bytes) -> Bare:
    """Without what comes after it, and the chunks that may be left out, but tRNS, which is transparency."""
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
    return Bare(b"".join(chunks), orientation_in(exif or profile, xmp))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(PNG)
    for _ in range(MAX_PIECES):
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


def _bare_gif(data: bytes) -> bytes:
    """Without comments and other extensions before the first frame, but those that say how it is drawn."""
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    blocks, pieces = [data[:at]], 0
    while data[at : at + 1] == b"\x21":
        start, label, at = at, data[at + 1 : at + 2], at + 2
        while size := int.from_bytes(data[at : at + 1]):
            at, pieces = at + 1 + size, pieces + 1
            if pieces > MAX_PIECES:
                raise ImageInvalid("undecodable", "the image is in too many small pieces")
        at += 1
        if label == b"\xf9":
            blocks.append(data[start:at])
    return b"".join([*blocks, data[at:]])
