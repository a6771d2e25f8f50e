"""Small pictures on pages."""

import base64
import io
from typing import Final

from PIL import Image

from fovea.images.preprocess import Pixels

SIDE: Final = 96
QUALITY: Final = 80


def as_webp(pixels: Pixels) -> str:
    """uint8 [S, S, 3] -> a data URI of a picture of 96 pixels at most; a smaller one is not enlarged."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
