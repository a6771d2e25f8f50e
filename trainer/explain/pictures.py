"""Arrays as small pictures, and pictures as files."""

import base64
import io
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image

from fovea.images.preprocess import Pixels

Floats = npt.NDArray[np.float32]

HEAT_COLOURS: Final = "inferno"
"""Readable in print and for the colour-blind: its lightness rises with the value."""
SIDE: Final = 224
JPEG_QUALITY: Final = 82
LUMINANCE: Final = (0.299, 0.587, 0.114)


def overlay(pixels: Pixels, saliency: Floats, side: int = SIDE) -> bytes:
    """The image in grey with its saliency map in colour upon it: a JPEG file of `side` x `side` pixels.

    pixels uint8 [S, S, 3], saliency float32 [h, w] in [0, 1]. The hotter, the less of the image is covered by
    darkness: what is dark said nothing for the class.
    """
    hot = colormaps[HEAT_COLOURS](enlarged(saliency, side))[..., :3]
    grey = (np.asarray(_image(pixels, side), np.float32) / 255) @ np.array(LUMINANCE)
    mixed = 0.45 * grey[..., None] + 0.55 * hot
    return as_jpeg((255 * mixed).round().astype(np.uint8))


def enlarged(values: Floats, side: int) -> Floats:
    """float32 [h, w] -> [side, side], smoothly."""
    image = Image.fromarray(np.asarray(values, np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32).clip(0, 1)


def picture(pixels: Pixels, side: int = SIDE) -> bytes:
    """uint8 [S, S, 3] -> a JPEG file of `side` x `side` pixels."""
    return as_jpeg(np.asarray(_image(pixels, side)))


def as_jpeg(pixels: Pixels) -> bytes:
    """uint8 [h, w, 3] -> the file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return file.getvalue()


def as_png(image: Image.Image) -> bytes:
    """The file, every value kept."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def data_uri(file: bytes) -> str:
    """A JPEG or PNG file as the address of an <img>."""
    kind = "png" if file.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"


def _image(pixels: Pixels, side: int) -> Image.Image:
    """Small images are enlarged as they are, in squares; large ones are reduced."""
    image = Image.fromarray(pixels)
    smooth = Image.Resampling.BICUBIC if side < image.width else Image.Resampling.NEAREST
    return image.resize((side, side), smooth)
