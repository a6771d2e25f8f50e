"""What a file says beside its pixels is read as far as it turns the image, and kept from the decoder.

Decoders unpack texts, join segments and make an object of each value, and refuse a sound image for what they
meet there. They are given the pixels alone: what metadata claims can neither cost time nor spoil an image.
Nor can what the file asks of its decoder beside pixels: see `decode_limits`, which are applied here.

Which way up an image is, each format has its own rule for, and each decoder follows it as far as it likes:

JPEG, PNG, WebP   EXIF tag 274, or XMP where EXIF says nothing
AVIF              `irot` and `imir`, which Pillow tells as EXIF
TIFF              tag 274, which Pillow applies as it loads
HEIC, HEIF        `irot` and `imir`, which libheif applies; EXIF is informative and never applied
JPEG XL           the codestream's own, which libjxl applies; of a recompressed JPEG, the JPEG's EXIF
"""

import io
import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from fovea.errors import ImageInvalid
from fovea.images import decode_limits, gif, png, tiff

UPRIGHT: Final = 1
ORIENTATION_TAG: Final = 274
MOST_ENTRIES: Final = 1_000
"""Of a directory that is looked through; cameras write fewer than a hundred."""

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP: Final = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_NUMBERS: Final = {1: "B", 3: "H", 4: "I"}
"""Types of an entry that an orientation is written in, with their layout (TIFF 6.0, page 15)."""

JPEG: Final = b"\xff\xd8\xff"
_SCAN_START: Final = b"\xff\xda\x00"
"""The marker of a JPEG's scan, and the higher byte of its header's length."""
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
    if data.startswith(png.START):
        pixels, exif, xmp = png.split(data)
        return Bare(pixels, orientation_in(exif, xmp))
    if data.startswith(gif.STARTS):
        return Bare(gif.bare(data), UPRIGHT)
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
    for _ in range(decode_limits.MAX_PIECES):
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
    view = memoryview(data)
    segments, exif, xmp, is_lossless = [view[:2]], [], b"", False
    for segment in jpeg_segments(data):
        is_lossless = is_lossless or segment.marker == _LOSSLESS
        if segment.marker == 0xE1:
            if segment.body.startswith(b"Exif\0\0"):
                exif.append(segment.body[6:])
            elif segment.body.startswith(b"http://ns.adobe.com/xap/"):
                xmp = xmp or segment.body
        elif not _is_comment(segment):
            segments.append(view[segment.start : segment.end])
    return Bare(b"".join(segments), orientation_in(b"".join(exif), xmp), is_lossless)


def _is_comment(segment: Segment) -> bool:
    """JFIF and Adobe's segment say what the colours are; no other that is an application's matters."""
    if segment.marker in {0xE0, 0xEE}:
        return not segment.body.startswith((b"JFIF\0", b"Adobe"))
    return segment.marker in range(0xE0, 0xF0) or segment.marker == 0xFE


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """The image upright; `orientation` is as in EXIF, 1 (upright) to 8."""
    transpose = _TURNS.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def is_turned_by_decoder(image: Image.Image) -> bool:
    """Whether a loaded image is upright already, so that what its metadata says must not be done again."""
    recompressed = getattr(image, "jpeg", False)  # pillow-jxl-plugin gives the JPEG's pixels as they lie
    return image.format in {"TIFF", "HEIF"} or (image.format == "JXL" and not recompressed)


def remaining_turn(image: Image.Image) -> int:
    """What is still to be applied to an opened image, by the metadata that Pillow hands out: 1 to 8."""
    if is_turned_by_decoder(image):
        return UPRIGHT
    exif, xmp = image.info.get("exif"), image.info.get("xmp")
    return orientation_in(exif if isinstance(exif, bytes) else b"", xmp if isinstance(xmp, bytes) else b"")


def orientation_in(exif: bytes, xmp: bytes = b"") -> int:
    """1 to 8; 1 where neither says anything, or what they say makes no sense.

    Nothing else of them is read, so that no EXIF, however large or damaged, costs time or spoils pixels.
    """
    orientation = _in_exif(exif)
    if orientation is None and (match := _XMP.search(xmp)):
        orientation = int(match[1])
    return orientation if orientation in _TURNS else UPRIGHT


def _in_exif(exif: bytes) -> int | None:
    exif = exif.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for index in range(min(count, MOST_ENTRIES)):
            at = start + 2 + 12 * index
            tag, kind, values = struct.unpack_from(order + "HHI", exif, at)
            if tag == ORIENTATION_TAG and kind in _NUMBERS and values == 1:
                return int(struct.unpack_from(order + _NUMBERS[kind], exif, at + 8)[0])
    except struct.error:
        pass
    return None


class MeteredFile(io.BytesIO):
    """The file in memory, which may be read so many times; then a read raises ImageInvalid."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads_left = decode_limits.MAX_HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ImageInvalid("undecodable", "the image is in too many small pieces")
        return super().read(size)


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Of the size that a header states. Raises ImageInvalid."""
    width, height = size
    if width * height > max_pixels:
        dimensions = f"{width} x {height} pixels"
        raise ImageInvalid("too_many_pixels", f"the image has {dimensions}, more than {max_pixels}")
    if min(size) < 1:
        raise ImageInvalid("undecodable", "the image has no pixels")


def check_scans(data: bytes) -> None:
    """Raises ImageInvalid for a JPEG, without its metadata, of more scans than an honest one has."""
    # Counted anywhere in the file: chance makes two in 32 MB.
    if not data.startswith(JPEG) or _pairs(data, _SCAN_START[:2]) <= decode_limits.MAX_SCANS:
        return
    if (count := data.count(_SCAN_START)) > decode_limits.MAX_SCANS:
        raise ImageInvalid("undecodable", f"the image has {count} scans, more than {decode_limits.MAX_SCANS}")


def _pairs(data: bytes, pair: bytes) -> int:
    """How often two bytes follow each other: a sixth of the time that `bytes.count` takes for them."""
    wanted = np.frombuffer(pair, np.uint16)
    halves = (np.frombuffer(data, np.uint16, (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(half == wanted)) for half in halves)


def check_storage(image: ImageFile.ImageFile, max_pixels: int) -> None:
    """Of an opened image: whether decoding takes what its size tells. Raises ImageInvalid."""
    if any(tile.codec_name == "bmp_rle" for tile in image.tile):
        _check_area("run-length encoded", image.size, min(max_pixels, decode_limits.MAX_RLE_PIXELS))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tile = (
            image.tag_v2.get(TiffImagePlugin.TILEWIDTH, 0),
            image.tag_v2.get(TiffImagePlugin.TILELENGTH, 0),
        )
        _check_area("in tiles of", tile, max(max_pixels, decode_limits.ANY_TILE_PIXELS))


def _check_area(how: str, size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        dimensions = f"{size[0]} x {size[1]} pixels"
        raise ImageInvalid("too_many_pixels", f"the image is {how} {dimensions}, more than {max_pixels}")
