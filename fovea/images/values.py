"""From the samples of an image, of whatever kind, to RGB of 8 bits."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

Range = tuple[float, float]
"""The samples that stand for black and for white."""

_BITS, _PHOTOMETRIC, _LARGEST, _SAMPLE_FORMAT, _S_SMALLEST, _S_LARGEST = 258, 262, 281, 339, 340, 341
"""Tags of a TIFF (TIFF 6.0, section 8 and 19)."""
_WHITE_IS_ZERO: Final = 0
_UNSIGNED: Final = 1
_FLOAT_STEPS: Final = ((2.0, 1.0), (510.0, 255.0), (131_070.0, 65_535.0))
"""Floats up to the first are taken as being meant for white at the second; resizing overshoots a little."""
_INTEGER_STEPS: Final = (255.0, 65_535.0, 2.0**24 - 1, 2.0**32 - 1)


def as_rgb(image: Image.Image) -> Image.Image:
    """Transparency comes onto white; more than 8 bits are scaled to 8, from where the file says."""
    if _is_deep(image):
        return _with_white(_eight_bits(image).convert("RGB"), image)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        page = Image.new("RGB", image.size, "white")
        page.paste(rgba, mask=rgba.getchannel("A"))
        return page
    return image if image.mode == "RGB" else image.convert("RGB")


def is_guessed(image: Image.Image) -> bool:
    """Whether an opened image says nowhere which of its samples are black and white."""
    return _is_deep(image) and stated_range(image) is None


def stated_range(image: Image.Image) -> Range | None:
    """Of an image of more than 8 bits: what its file says stands for black and white, None where it does not.

    Integers of 16 bits, or of 12, go from 0 to the largest there is, unless the file states another largest
    value that is one of fewer bits; a TIFF may state both ends.
    """
    tags: dict[int, Any] | None = getattr(image, "tag_v2", None)
    if tags is None:
        return (0, 1) if image.format == "JXL" and image.mode == "F" else _of_sixteen_bits(image)
    low, high = _first(tags.get(_S_SMALLEST, 0)), _first(tags.get(_S_LARGEST))
    if low is not None and high is not None and low < high:
        return low, high
    bits, kind = _first(tags.get(_BITS)), _first(tags.get(_SAMPLE_FORMAT, _UNSIGNED))
    if kind != _UNSIGNED or bits is None or bits > 16:
        return None
    largest, white = 2.0 ** int(bits) - 1, _first(tags.get(_LARGEST))
    return (0, white) if white is not None and _fills_bits(white) and white < largest else (0, largest)


def _of_sixteen_bits(image: Image.Image) -> Range | None:
    return (0, 65_535) if image.mode.startswith("I;16") or image.format == "PNG" else None


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _first(value: Any) -> float | None:
    """Of a tag's value, or values, one a sample."""
    value = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(value) if np.isfinite(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _fills_bits(value: float) -> bool:
    """Whether it is the largest of some number of bits, from 8 on: 255, 511, 1,023 and so on."""
    return value >= 255 and value.is_integer() and (int(value) + 1).bit_count() == 1


def _eight_bits(image: Image.Image) -> Image.Image:
    values = _samples(image)
    low, high = stated_range(image) or _guess(values, is_float=image.mode == "F")
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    scaled = ((values - low) * (255 / (high - low))).clip(0, 255).round()
    levels = scaled.astype(np.uint8)
    tags = getattr(image, "tag_v2", None)
    is_inverted = tags is not None and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return Image.fromarray(255 - levels if is_inverted else levels)


def _with_white(page: Image.Image, image: Image.Image) -> Image.Image:
    """Where a 16-bit PNG has the one value that it calls transparent."""
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        page.paste("white", mask=Image.fromarray(np.asarray(image) == clear))
    return page


def _samples(image: Image.Image) -> npt.NDArray[np.float32]:
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    is_unsigned = image.format == "TIFF" and _first(tags.get(_SAMPLE_FORMAT, _UNSIGNED)) == _UNSIGNED
    if values.dtype == np.int32 and is_unsigned:
        values = values.view(np.uint32)  # Pillow has no mode for them
    return values.astype(np.float32)


def _guess(values: npt.NDArray[np.float32], *, is_float: bool) -> Range:
    """What black and white were probably meant to be, by the largest sample that there is."""
    finite = values[np.isfinite(values)]
    largest = float(finite.max()) if finite.size else 1.0
    if is_float:
        return 0, next((white for most, white in _FLOAT_STEPS if largest <= most), largest)
    smallest = float(finite.min()) if finite.size else 0.0
    steps = _INTEGER_STEPS if smallest >= 0 else tuple((step - 1) / 2 for step in _INTEGER_STEPS)
    reach = max(largest, -1 - smallest)
    white = next((step for step in steps if reach <= step), steps[-1])
    return (0 if smallest >= 0 else -1 - white), white
