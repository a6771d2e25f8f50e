"""What is unusual about an image file, told from its header."""

from typing import Final

import numpy as np
from PIL import Image

from fovea.images.metadata import ORIENTATION_TAG, remaining_turn
from fovea.images.preprocess import OpenedImage, Pixels
from fovea.images.spec import PreprocessSpec
from fovea.images.values import is_guessed

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
PNG_BIT_DEPTH_AT: Final = 24

TRAITS: Final = {
    "rotated": "turned upright by their EXIF orientation",
    "cmyk": "CMYK",
    "alpha": "with transparency, which is put onto white",
    "16-bit": "of 16 bits a channel or more, scaled to 8",
    "grey": "grey",
    "range guessed": "whose files do not say which values are black and white: these were guessed",
    "nearly black": "that are nearly black (is their white what the file says?)",
    "nearly white": "that are nearly white",
    "one colour": "of one colour all over",
    "blurred": "that are blurred beside the others",
    "small": "of less than half as many pixels a side as they are resized to",
}
"""Trait -> what it means to a reader."""
DOUBTFUL: Final = ("range guessed", "nearly black", "nearly white", "one colour", "blurred", "small")
"""Those that somebody should look at."""

DARKEST: Final = 16
"""Of 255: 12 bits that a file gives as 16 come out no brighter."""
BRIGHTEST: Final = 255 - DARKEST
NEARLY: Final = 0.99
"""The share of the pixels that make an image nearly black, or nearly white."""
LEAST_SPREAD: Final = 2
"""Levels between the darkest and the brightest pixel of a channel, up to which it is one colour."""


def traits_of(image: OpenedImage) -> tuple[str, ...]:
    """Which of TRAITS an opened image has, told from its header. Decodes no pixel."""
    try:
        traits = _header_traits(image.file, _orientation(image), image.data)
    except Exception:  # decoding the file will tell what is wrong with it
        return ()
    return tuple(name for name, present in traits.items() if present)


def traits_of_pixels(crop: Pixels) -> tuple[str, ...]:
    """Which of TRAITS a decoded image has that its header does not tell; uint8 [..., 3]."""
    spread = np.ptp(crop.reshape(-1, 3), axis=0).max()
    traits = {
        "nearly black": (crop <= DARKEST).all(-1).mean() >= NEARLY,
        "nearly white": (crop >= BRIGHTEST).all(-1).mean() >= NEARLY,
        "one colour": spread <= LEAST_SPREAD,
    }
    return tuple(name for name, present in traits.items() if present)


def traits_of_size(size: tuple[int, int], spec: PreprocessSpec) -> tuple[str, ...]:
    """Which of TRAITS an image of this width and height has where it is prepared by `spec`."""
    side, wanted = (max(size), spec.size) if spec.fit == "pad" else (min(size), spec.resize)
    return ("small",) if side < wanted / 2 else ()


def _header_traits(image: Image.Image, orientation: int, data: bytes) -> dict[str, bool]:
    return {
        "rotated": orientation in range(2, 9),
        "cmyk": image.mode == "CMYK",
        "alpha": image.has_transparency_data,
        "16-bit": image.mode == "F" or image.mode.startswith("I") or _has_deep_png_header(data),
        "grey": image.mode in {"1", "L", "LA"} or image.mode.startswith("I"),
        "range guessed": is_guessed(image),
    }


def _orientation(image: OpenedImage) -> int:
    """Also where the decoder applies it."""
    if image.orientation is not None:
        return image.orientation
    tags = getattr(image.file, "tag_v2", {})  # of a TIFF
    applied = tags.get(ORIENTATION_TAG) or image.file.info.get("original_orientation")  # or of HEIC
    return int(applied or remaining_turn(image.file))


def _has_deep_png_header(data: bytes) -> bool:
    """Pillow reads 16-bit colour PNGs as 8 bits and does not tell."""
    return data.startswith(PNG_SIGNATURE) and data[PNG_BIT_DEPTH_AT : PNG_BIT_DEPTH_AT + 1] == b"\x10"
