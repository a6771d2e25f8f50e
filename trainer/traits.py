"""What is unusual about an image file, told from its header."""

import io
from typing import Final

from PIL import ExifTags, Image

from fovea.formats import FORMATS

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
PNG_BIT_DEPTH_AT: Final = 24

TRAITS: Final = {
    "rotated": "turned upright by their EXIF orientation",
    "cmyk": "CMYK",
    "alpha": "with transparency, which is put onto white",
    "16-bit": "of 16 bits a channel or more, scaled to 8",
    "grey": "grey",
}
"""Trait -> what it means to a reader."""


def traits_of(data: bytes) -> tuple[str, ...]:
    """Which of TRAITS an image file has; none of a file that is no image. Decodes no pixel."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return tuple(name for name, found in _look(image, data).items() if found)
    except Exception:  # decoding the file will tell what is wrong with it
        return ()


def _look(image: Image.Image, data: bytes) -> dict[str, bool]:
    return {
        "rotated": _orientation(image) in range(2, 9),
        "cmyk": image.mode == "CMYK",
        "alpha": image.has_transparency_data,
        "16-bit": image.mode == "F" or image.mode.startswith("I") or _has_deep_png_header(data),
        "grey": image.mode in {"1", "L", "LA"} or image.mode.startswith("I"),
    }


def _orientation(image: Image.Image) -> int:
    # Of a PNG that does not tell before its pixels, Pillow would decode them all to look behind them.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _has_deep_png_header(data: bytes) -> bool:
    """Pillow reads 16-bit colour PNGs as 8 bits and does not tell."""
    return data.startswith(PNG_SIGNATURE) and data[PNG_BIT_DEPTH_AT : PNG_BIT_DEPTH_AT + 1] == b"\x10"
