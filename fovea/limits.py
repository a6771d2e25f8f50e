"""What an image file may ask of its decoder beside pixels: a small file can be made to take it hours.

The pixels are bounded elsewhere; here it is what a decoder does again and again. Each scan of a JPEG goes
over the whole image, however few bytes it has; each small piece of a header is a turn of a loop in Python.
"""

import io
import struct
from typing import Final

from PIL import ImageFile, TiffImagePlugin

from fovea.errors import InvalidImage

MAX_HEADER_READS: Final = 5_000
"""About 1,200 segments of a JPEG or 1,600 chunks of a PNG before the first pixel."""
MAX_READS: Final = 1_000_000
"""Of the rest. A second; run-length encoding in a BMP takes one for each byte."""
MAX_VALUES: Final = 100_000
"""Of one entry in the directory of a TIFF or EXIF: places of strips, say. Text and bytes are not counted."""
MAX_RLE_PIXELS: Final = 10_000_000
"""Of a run-length encoded BMP, which Pillow decodes in Python: a second."""
ANY_TILE_PIXELS: Final = 1024 * 1024
"""A tile of a TIFF may have so many, however small the image is."""

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_REPEATABLE: Final = (
    # libtiff draws the line for scans at 100 as well, where a TIFF has a JPEG inside.
    (_JPEG, 0, b"\xff\xda\x00", 100, "scans"),
    # Pillow joins them, copying each time what it has.
    (_JPEG, 1024 * 1024, b"Exif\0\0", 16, "EXIF segments"),
    # Each may unpack to a megabyte; one is allowed.
    (_PNG, 1024 * 1024, b"iCCP", 4, "colour profiles"),
)
"""How a file begins and how long it must be to do harm, what may be in it, how often, and what that is."""

_TIFF_STARTS: Final = tuple(TiffImagePlugin.PREFIXES)
_BYTES_AND_TEXT: Final = {1, 2, 6, 7}
"""Types of a directory's entry (TIFF 6.0, page 15) that stay in one piece."""


class MeteredFile(io.BytesIO):
    """The file in memory, which may be read so many times; then a read raises InvalidImage."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads_left = MAX_HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise InvalidImage("undecodable", "the image is in too many small pieces")
        return super().read(size)


def check_repetitions(data: bytes) -> None:
    """Raises InvalidImage for a file with more of something than an honest one has."""
    for start, harmless_bytes, piece, most, name in _REPEATABLE:
        if not data.startswith(start) or len(data) <= harmless_bytes:
            continue
        # Counted anywhere in the file, in thumbnails as well: chance makes two in 32 MB.
        if (count := data.count(piece)) > most:
            raise InvalidImage("undecodable", f"the image has {count} {name}, more than {most}")


def check_directory(data: bytes) -> None:
    """Of a TIFF, or of EXIF, which is one. Raises InvalidImage for entries of too many values.

    Pillow makes an object of each value; what is damaged otherwise, or is no TIFF, is left to it.
    """
    data = data.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    if not data.startswith(_TIFF_STARTS):
        return
    try:
        for kind, count in _entries(data):
            if count > MAX_VALUES and kind not in _BYTES_AND_TEXT:
                raise InvalidImage(
                    "undecodable", f"a tag of the image has {count} values, more than {MAX_VALUES}"
                )
    except struct.error:
        return


def check_storage(image: ImageFile.ImageFile, max_pixels: int) -> None:
    """Of an opened image: whether decoding takes what its size tells. Raises InvalidImage."""
    if any(tile.codec_name == "bmp_rle" for tile in image.tile):
        _check_area("run-length encoded", image.size, min(max_pixels, MAX_RLE_PIXELS))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tile = (
            image.tag_v2.get(TiffImagePlugin.TILEWIDTH, 0),
            image.tag_v2.get(TiffImagePlugin.TILELENGTH, 0),
        )
        _check_area("in tiles of", tile, max(max_pixels, ANY_TILE_PIXELS))


def _check_area(how: str, size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        stated = f"{size[0]} x {size[1]} pixels"
        raise InvalidImage("too_many_pixels", f"the image is {how} {stated}, more than {max_pixels}")


def _entries(data: bytes) -> list[tuple[int, int]]:
    """Type and number of values of each entry in the first directory. Raises struct.error."""
    order = "<" if data.startswith(b"II") else ">"
    if data[2] == 43:  # BigTIFF
        (start,) = struct.unpack_from(order + "Q", data, 8)
        (length,) = struct.unpack_from(order + "Q", data, start)
        layout, first = struct.Struct(order + "2xHQ8x"), start + 8
    else:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (length,) = struct.unpack_from(order + "H", data, start)
        layout, first = struct.Struct(order + "2xHI4x"), start + 2
    there = min(length, (len(data) - first) // layout.size, MAX_HEADER_READS)  # of more, no tag is read
    return [layout.unpack_from(data, first + index * layout.size) for index in range(there)]
