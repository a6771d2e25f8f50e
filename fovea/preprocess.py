"""The one image path: encoded bytes -> uint8 crop. Training, serving and scoring all come through here.

What is done to an image is written down in a `PreprocessSpec`, which is part of the model bundle. The
bytes may come from anybody: size and pixels are bounded before anything is decoded, and whatever is wrong
with an image ends in `InvalidImage`.
"""

import hashlib
import math
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fovea import limits
from fovea.errors import InvalidImage
from fovea.formats import FORMATS
from fovea.values import as_rgb

Pixels = npt.NDArray[np.uint8]

# Pillow would give each image's memory back to the system and fetch it again, page by page, for the next one.
# Eight megabytes hold a photograph that was decoded at a reduced scale.
Image.core.set_block_size(1024 * 1024)  # type: ignore[attr-defined]
Image.core.set_blocks_max(8)  # type: ignore[attr-defined]

REASONS: Final = ("empty", "too_many_bytes", "not_an_image", "too_many_pixels", "undecodable")

MAX_IMAGE_BYTES: Final = 32 * 1024 * 1024
MAX_IMAGE_PIXELS: Final = 64_000_000


class PreprocessSpec(BaseModel):
    """What happens between an image file and the model's input.

    The image is made RGB (transparency onto white, 16 bits scaled to 8), resized so that its shorter side
    has `resize` pixels, its centre `size` x `size` is cut out and turned upright by the EXIF orientation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    size: int = Field(ge=1, le=2048, description="side of the square crop, in pixels")
    resize: int = Field(ge=1, le=4096, description="shorter side after resizing, in pixels")
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    draft: bool = Field(
        default=True,
        description="large JPEGs are decoded at a reduced scale that still has twice the target size",
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> "PreprocessSpec":
        if self.size > self.resize:
            raise ValueError(f"the crop ({self.size}) is larger than the resized image ({self.resize})")
        return self

    @property
    def digest(self) -> str:
        """sha256 of the specification, hexadecimal: equal digests mean equal pixels."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def decode_image(
    data: bytes,
    spec: PreprocessSpec,
    *,
    max_bytes: int = MAX_IMAGE_BYTES,
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> Pixels:
    """Decodes one image file and returns its crop: uint8 RGB, shape [size, size, 3], C-contiguous.

    Of an animation it takes the first frame. `max_pixels` is compared with the size that the header states,
    before any pixel is decoded.
    Raises InvalidImage; nothing else comes out of hostile bytes.
    """
    if not data:
        raise InvalidImage("empty", "the image is empty (0 bytes)")
    if len(data) > max_bytes:
        raise InvalidImage("too_many_bytes", f"the image has {len(data)} bytes, more than {max_bytes}")
    image = _open(data, max_pixels)
    _check_pixels(image, max_pixels)
    try:
        limits.check_storage(image, max_pixels)
        return _upright_crop(image, spec)
    except InvalidImage:
        raise
    except Exception as error:  # decoders raise a dozen types on broken files
        raise InvalidImage("undecodable", f"the {image.format} image is damaged: {error}") from error


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    limits.check_repetitions(data)
    limits.check_directory(data)
    file = limits.MeteredFile(data)
    try:
        image = Image.open(file, formats=FORMATS)
        file.reads_left = limits.MAX_READS
        return image
    except InvalidImage:
        raise
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise InvalidImage("not_an_image", f"the bytes are not an image in one of {known}") from None
    except Image.DecompressionBombError as error:
        raise InvalidImage("too_many_pixels", f"the image has far more pixels than {max_pixels}") from error
    except Exception as error:  # a header that lies
        raise InvalidImage("undecodable", f"the image's header is damaged: {error}") from error


def _check_pixels(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        stated = f"{image.width} x {image.height} pixels"
        raise InvalidImage("too_many_pixels", f"the image has {stated}, more than {max_pixels}")
    if min(image.size) < 1:
        raise InvalidImage("undecodable", "the image has no pixels")


def _upright_crop(image: Image.Image, spec: PreprocessSpec) -> Pixels:
    if spec.draft:
        _reduce_jpeg(image, spec)
    image.load()  # Pillow turns a TIFF upright as it loads, so its orientation counts only from here on
    if isinstance(exif := image.info.get("exif"), bytes):  # a text of a PNG may have this name as well
        limits.check_directory(exif)
    turn = _TURNS.get(_orientation(image))
    crop = _centre(as_rgb(image), spec)
    # The crop is square and central, so turning it last is turning the image, for a fraction of the cost.
    upright = crop.transpose(turn) if turn is not None else crop
    return np.ascontiguousarray(np.asarray(upright, dtype=np.uint8))


def _reduce_jpeg(image: Image.Image, spec: PreprocessSpec) -> None:
    """libjpeg decodes at 1/2, 1/4 or 1/8 at no cost, here never below twice the size that is wanted."""
    scale = 2 * spec.resize / min(image.size)
    if image.format in {"JPEG", "MPO"} and scale < 1:
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    """How the camera was held, EXIF tag 274: 1 (upright) to 8."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata says nothing about the pixels
        return 1


_FILTERS: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def _centre(image: Image.Image, spec: PreprocessSpec) -> Image.Image:
    # Resizing only the box that the crop keeps gives the same field of view for a third less time.
    side = min(image.size) * spec.size / spec.resize
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((spec.size, spec.size), _FILTERS[spec.interpolation], box=box)
