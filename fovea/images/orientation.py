"""Which way up an image is: each format has its own rule, and each decoder follows it as far as it likes.

JPEG, PNG, WebP   EXIF tag 274, or XMP where EXIF says nothing
AVIF              `irot` and `imir`, which Pillow tells as EXIF
TIFF              tag 274, which Pillow applies as it loads
HEIC, HEIF        `irot` and `imir`, which libheif applies; EXIF is informative and never applied
JPEG XL           the codestream's own, which libjxl applies; of a recompressed JPEG, the JPEG's EXIF
"""

import re
import struct
from typing import Final

from PIL import Image

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
