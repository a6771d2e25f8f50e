"""One image as a request to a server: from a path, bytes, a picture or an array."""

import io
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from fovea.errors import DataInvalid
from fovea.preprocess import as_rgb

ImageLike = str | PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]
"""A path, an encoded image, a PIL image, or uint8 [height, width, 3]; the last two travel as PNG."""


def encoded(image: ImageLike) -> bytes:
    """The bytes that travel for an image. Raises DataInvalid for what cannot be read or is no image."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | PathLike):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise DataInvalid(f"{image}: cannot be read: {error.strerror}") from error
    picture = image if isinstance(image, Image.Image) else _picture(image)
    data = io.BytesIO()
    try:
        # A server would do both itself, but PNG holds neither every mode nor a turned image.
        as_rgb(ImageOps.exif_transpose(picture)).save(data, "PNG")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataInvalid(f"the image of mode {picture.mode} cannot be sent: {error}") from error
    return data.getvalue()


def _picture(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    if not isinstance(pixels, np.ndarray):
        raise DataInvalid(f"an image is a path, bytes, a PIL image or an array, not {type(pixels).__name__}")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        given = f"{pixels.dtype} {list(pixels.shape)}"
        raise DataInvalid(f"an array must be uint8 [height, width, 3], not {given}")
    return Image.fromarray(pixels)
