"""Digests of crops: by this environment's Pillow, or by another one that comes before it on the path."""

import hashlib
import io
from collections.abc import Iterator
from typing import Literal

import numpy as np
import PIL  # noqa: F401  (who runs this elsewhere asks for its version)
from PIL import Image

from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec

SIZES = (
    (500, 1000),
    (720, 1280),
    (90, 1500),
    (101, 203),
    (33, 777),
    (375, 500),
    (1280, 720),
    (777, 33),
    (96, 96),
)
"""Portraits first, which Pillow 13 resizes in another order."""
FILTERS: tuple[Literal["bilinear", "bicubic", "lanczos"], ...] = ("bilinear", "bicubic", "lanczos")


def digests() -> Iterator[str]:
    """Of images with detail in every pixel, in every size, by every filter and at odd scales."""
    chance = np.random.default_rng(27)
    for width, height in SIZES:
        data = io.BytesIO()
        Image.fromarray(chance.integers(0, 256, (height, width, 3), np.uint8)).save(
            data, "PNG", compress_level=1
        )
        for number, interpolation in enumerate(FILTERS):
            size, resize = ((224, 256), (64, 73), (33, 33))[(number + width) % 3]
            spec = PreprocessSpec(size=size, resize=resize, interpolation=interpolation)
            crop = decode_image(data.getvalue(), spec)
            yield f"{width}x{height} {interpolation} {size}/{resize} {hashlib.sha256(crop.data).hexdigest()}"
