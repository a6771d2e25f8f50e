"""What an image file may ask of its decoder beside pixels: a small file can be made to take it hours.

The pixels are bounded elsewhere; here it is what a decoder does again and again. Each scan of a JPEG goes
over the whole image, however few bytes it has; each small piece of a header is a turn of a loop in Python.
"""

import io
from typing import Final

from PIL import ImageFile, TiffImagePlugin

from fovea.errors import ImageInvalid

MAX_HEADER_READS: Final = 5_000
"""About 1,200 segments of a JPEG or 1,600 chunks of a PNG before the first pixel."""
MAX_READS: Final = 1_000_000
"""Of the rest. A second; run-length encoding in a BMP takes one for each byte."""
MAX_PIECES: Final = 1_000_000
"""Chunks, segments or blocks of a file, gone through for its metadata; half a second."""
MAX_RLE_PIXELS: Final = 10_000_000
"""Of a run-length encoded BMP, which Pillow decodes in Python: a second."""
ANY_TILE_PIXELS: Final = 1024 * 1024
"""A tile of a TIFF may have so many, however small the image is."""

_JPEG: Final = b"\xff\xd8\xff"
_SCAN: Final = b"\xff\xda\x00"
MAX_SCANS: Final = 100
"""Of a JPEG. libtiff draws the line there as well, where a TIFF has a JPEG inside."""


class MeteredFile(io.BytesIO):
    """The file in memory, which may be read so many times; then a read raises ImageInvalid."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads_left = MAX_HEADER_READS

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
    if data.startswith(_JPEG) and (count := data.count(_SCAN)) > MAX_SCANS:
        raise ImageInvalid("undecodable", f"the image has {count} scans, more than {MAX_SCANS}")


def check_storage(image: ImageFile.ImageFile, max_pixels: int) -> None:
    """Of an opened image: whether decoding takes what its size tells. Raises ImageInvalid."""
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
        dimensions = f"{size[0]} x {size[1]} pixels"
        raise ImageInvalid("too_many_pixels", f"the image is {how} {dimensions}, more than {max_pixels}")
