"""Resizing, with the same bits whatever does it.

That is the extension `_resize`, built where the installation finds a C compiler: it takes the pixels from
Pillow's memory as they lie there, both passes at once, by the processor's vectors. Elsewhere it is Pillow.
"""

import importlib
import math
from types import ModuleType
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Interpolation = Literal["bilinear", "bicubic", "lanczos"]


def _built() -> ModuleType | None:
    try:
        return importlib.import_module("fovea.images._resize")
    except ImportError:
        return None


_extension = _built()

# Pillow would give each image's memory back to the system and fetch it again, page by page, for the next one.
# It exports what is one block, and 8 MB hold a photograph that was decoded at a reduced scale. Where Pillow
# resizes, small results take turns with images for the blocks that are kept, and would shrink such a one.
_BLOCK_BYTES, _BLOCKS_KEPT = (8 << 20, 1) if _extension is not None else (1 << 20, 8)
Image.core.set_block_size(_BLOCK_BYTES)  # type: ignore[attr-defined]
Image.core.set_blocks_max(_BLOCKS_KEPT)  # type: ignore[attr-defined]

WORTH_CUTTING: Final = 0.8
"""Of an image's rows; a copy of more of them takes longer than resizing those that are left over."""

_FILTERS: Final = {
    "bilinear": (Image.Resampling.BILINEAR, 0, 1),
    "bicubic": (Image.Resampling.BICUBIC, 1, 2),
    "lanczos": (Image.Resampling.LANCZOS, 2, 3),
}
"""Pillow's, the extension's, and with how many pixels of the result each reaches to either side."""


def is_built() -> bool:
    """Whether the extension is there."""
    return _extension is not None


def centre(image: Image.Image, size: int, resize: int, interpolation: Interpolation) -> Pixels:
    """Central `size` x `size` pixels of an RGB image when its shorter side is made `resize`: uint8
    [size, size, 3].

    No more than these are made: the same field of view in less time, and the same bits by every Pillow that
    is allowed, with the extension and without it.
    """
    square = _square(image, size, resize, interpolation)
    pixels = _by_extension(image, size, square, interpolation)
    return _by_pillow(image, size, square, interpolation) if pixels is None else pixels


def fitting(whole: tuple[int, int], size: int) -> tuple[int, int]:
    """The width and height of such an image when its longer side is made `size`."""
    width, height = whole
    if width > height:
        return size, max(1, round(height / width * size))
    return (max(1, round(width / height * size)), size) if height > width else (size, size)


def resized(image: Image.Image, to: tuple[int, int], interpolation: Interpolation) -> Image.Image:
    """Each axis by itself, as `_by_pillow` does."""
    resample = _FILTERS[interpolation][0]
    return image.resize((to[0], image.height), resample).resize(to, resample)


class _Square(NamedTuple):
    """What is resized: the box in the rows `first` to `last`, from the first of which it is counted."""

    first: int
    last: int
    box: tuple[float, float, float, float]


def _square(image: Image.Image, size: int, resize: int, interpolation: Interpolation) -> _Square:
    side = min(image.size) * size / resize
    left, top = (image.width - side) / 2, (image.height - side) / 2
    # Pillow takes the box as float32: rounded before rows are cut off, it is the same in those that are left.
    left, top, right, bottom = (float(np.float32(edge)) for edge in (left, top, left + side, top + side))
    reach = _FILTERS[interpolation][2]
    margin = reach * max(side / size, 1) + 1
    first, last = max(0, int(top - margin)), min(image.height, math.ceil(bottom + margin))
    if last - first > WORTH_CUTTING * image.height:
        first, last = 0, image.height
    return _Square(first, last, (left, top - first, right, bottom - first))


def _by_extension(
    image: Image.Image, size: int, square: _Square, interpolation: Interpolation
) -> Pixels | None:
    """None where it is not done: without it, and of an image in several blocks of Pillow's memory."""
    if _extension is None or image.mode != "RGB":
        return None
    pixels = np.empty((size, size, 3), np.uint8)
    how = (size, _FILTERS[interpolation][1], False)
    try:
        _extension.centre(*image.__arrow_c_array__(), pixels, *image.size, *square, *how)
    except ValueError:
        return None
    return pixels


def _by_pillow(image: Image.Image, size: int, square: _Square, interpolation: Interpolation) -> Pixels:
    first, last, (left, top, right, bottom) = square
    resample = _FILTERS[interpolation][0]
    rows = image if (first, last) == (0, image.height) else image.crop((0, first, image.width, last))
    # Each axis by itself: in what order Pillow takes the two, and so the last bit, depends on its version.
    wide = rows.resize((size, rows.height), resample, box=(left, 0, right, rows.height))
    return np.asarray(wide.resize((size, size), resample, box=(0, top, size, bottom)), dtype=np.uint8)
