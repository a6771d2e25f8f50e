"""The centre of an image at another size: the same bits by every Pillow that is allowed."""

import math
from typing import Final, Literal

import numpy as np
from PIL import Image

Interpolation = Literal["bilinear", "bicubic", "lanczos"]

WORTH_CUTTING: Final = 0.8
"""Of an image's rows; a copy of more of them takes longer than resizing those that are left over."""

_FILTERS: Final = {
    "bilinear": (Image.Resampling.BILINEAR, 1),
    "bicubic": (Image.Resampling.BICUBIC, 2),
    "lanczos": (Image.Resampling.LANCZOS, 3),
}
"""With how many pixels of the result each reaches to either side."""


def centre(image: Image.Image, size: int, resize: int, interpolation: Interpolation) -> Image.Image:
    """Central `size` x `size` pixels of the image when its shorter side is made `resize`.

    No more than these are made: the same field of view in less time.
    """
    side = min(image.size) * size / resize
    left, top = (image.width - side) / 2, (image.height - side) / 2
    # Pillow takes the box as float32: rounded before rows are cut off, it is the same in those that are left.
    left, top, right, bottom = (float(np.float32(edge)) for edge in (left, top, left + side, top + side))
    resample, reach = _FILTERS[interpolation]
    margin = reach * max(side / size, 1) + 1
    first, last = max(0, int(top - margin)), min(image.height, math.ceil(bottom + margin))
    if last - first > WORTH_CUTTING * image.height:
        first, last, rows = 0, image.height, image
    else:
        rows = image.crop((0, first, image.width, last))
    # Each axis by itself: in what order Pillow takes the two, and so the last bit, depends on its version.
    wide = rows.resize((size, rows.height), resample, box=(left, 0, right, rows.height))
    return wide.resize((size, size), resample, box=(0, top - first, size, bottom - first))
