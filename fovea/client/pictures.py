"""Pictures and arrays as files that can be sent."""

import io

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from fovea.errors import DataInvalid
from fovea.images.metadata import is_turned_by_decoder, turn
from fovea.images.values import as_rgb


def as_png(image: Image.Image | npt.NDArray[np.uint8]) -> bytes:
    """An array is uint8 [height, width, 3]. Raises DataInvalid for another, and for what PNG cannot hold."""
    picture = image if isinstance(image, Image.Image) else _picture(image)
    data = io.BytesIO()
    try:
        # A server would do both itself, but PNG holds neither every mode nor a turned image.
        turn(as_rgb(picture), _orientation(picture)).save(data, "PNG")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataInvalid(f"the image of mode {picture.mode} cannot be sent: {error}") from error
    return data.getvalue()


def _orientation(picture: Image.Image) -> int:
    picture.load()  # which turns what its decoder turns
    return 1 if is_turned_by_decoder(picture) else int(picture.getexif().get(ExifTags.Base.Orientation, 1))


def _picture(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    if not isinstance(pixels, np.ndarray):
        raise DataInvalid(f"an image is a path, bytes, a PIL image or an array, not {type(pixels).__name__}")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        description = f"{pixels.dtype} {list(pixels.shape)}"
        raise DataInvalid(f"an array must be uint8 [height, width, 3], not {description}")
    return Image.fromarray(pixels)
