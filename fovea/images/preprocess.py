"""The one image path: encoded bytes -> uint8 crop. Training, serving and scoring all come through here.

What is done to an image is written down in a `PreprocessSpec`, which is part of the model bundle. The
bytes may come from anybody: size and pixels are bounded before anything is decoded, and whatever is wrong
with an image ends in `ImageInvalid`.
"""

import hashlib
import io
import math
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fovea.errors import ImageInvalid
from fovea.images import decode_limits, jxl, kinds
from fovea.images.formats import readable
from fovea.images.metadata import JPEG, UPRIGHT, bare, remaining_turn, turn
from fovea.images.resize import Interpolation, centre
from fovea.images.values import as_rgb

Pixels = npt.NDArray[np.uint8]

REASONS: Final = ("empty", "too_many_bytes", "not_an_image", "too_many_pixels", "undecodable")

MAX_IMAGE_BYTES: Final = 32 * 1024 * 1024
MAX_IMAGE_PIXELS: Final = 64_000_000

_SCAN: Final = b"\xff\xda\x00"
"""The marker of a JPEG's scan, and the higher byte of its header's length."""


class PreprocessSpec(BaseModel):
    """What happens between an image file and the model's input.

    The image is made RGB (transparency onto white, more than 8 bits scaled to 8, see `values`) and
    resized, horizontally first, so that its shorter side has `resize` pixels; its centre `size` x `size` is
    cut out and turned upright as its format says, see `metadata`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    size: int = Field(ge=1, le=2048, description="side of the square crop, in pixels")
    resize: int = Field(ge=1, le=4096, description="shorter side after resizing, in pixels")
    interpolation: Interpolation = "bilinear"
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
        """sha256 of the specification, hexadecimal: equal ones mean equal pixels, where
        `fovea.images.formats.image_path` is equal too."""
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
    Raises ImageInvalid; nothing else comes out of hostile bytes.
    """
    return crop_image(open_image(data, max_bytes=max_bytes, max_pixels=max_pixels), spec)


class OpenedImage(NamedTuple):
    """An image whose header was read, and none of whose pixels."""

    file: ImageFile.ImageFile
    orientation: int | None
    """As of EXIF, 1 to 8; None where the decoder knows."""
    can_be_reduced: bool
    data: bytes
    """What it was opened from."""
    max_pixels: int


def open_image(
    data: bytes, *, max_bytes: int = MAX_IMAGE_BYTES, max_pixels: int = MAX_IMAGE_PIXELS
) -> OpenedImage:
    """Reads the header alone, of one format that is read. Raises ImageInvalid.

    A JPEG XL is decoded here already, once its size and that it is no animation are known.
    """
    if not data:
        raise ImageInvalid("empty", "the image is empty (0 bytes)")
    if len(data) > max_bytes:
        raise ImageInvalid("too_many_bytes", f"the image has {len(data)} bytes, more than {max_bytes}")
    if data.startswith(jxl.STARTS) and "JXL" in readable():
        data = _bare_jxl(data, max_pixels)
    pixels = bare(data)
    image = _open(pixels.data, data, max_pixels)
    _check_pixels(image.size, max_pixels)
    reduces = image.format in {"JPEG", "MPO"} and not pixels.is_lossless_jpeg
    return OpenedImage(image, pixels.orientation, reduces, data, max_pixels)


def crop_image(image: OpenedImage, spec: PreprocessSpec) -> Pixels:
    """What `decode_image` gives, of an image that was opened; once. Raises ImageInvalid."""
    try:
        _check_storage(image.file, image.max_pixels)
        return _upright_crop(image, spec)
    except ImageInvalid:
        raise
    except Exception as error:  # decoders raise a dozen types on broken files
        raise kinds.damaged(image.data, error, image.file.format) from error


def _bare_jxl(data: bytes, max_pixels: int) -> bytes:
    """What its decoder is given, which decodes every frame as soon as it opens the file."""
    header = jxl.read_header(data)
    _check_pixels((header.width, header.height), max_pixels)
    if header.is_animated:
        raise ImageInvalid("undecodable", "the image is an animated JPEG XL, which is not read")
    return jxl.bare(data)


def _open(pixels: bytes, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """`pixels` is `data` without its metadata."""
    _check_scans(pixels)
    file = _MeteredFile(pixels)
    try:
        image = Image.open(file, formats=readable())
        file.reads_left = decode_limits.MAX_READS
        return image
    except ImageInvalid:
        raise
    except UnidentifiedImageError:
        raise kinds.refusal(data) from None
    except Image.DecompressionBombError as error:
        raise ImageInvalid("too_many_pixels", f"the image has far more pixels than {max_pixels}") from error
    except Exception as error:  # a header that lies
        raise kinds.damaged(data, error) from error


class _MeteredFile(io.BytesIO):
    """The file in memory, which may be read so many times; then a read raises ImageInvalid."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads_left = decode_limits.MAX_HEADER_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ImageInvalid("undecodable", "the image is in too many small pieces")
        return super().read(size)


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Of the size that a header states. Raises ImageInvalid."""
    width, height = size
    if width * height > max_pixels:
        dimensions = f"{width} x {height} pixels"
        raise ImageInvalid("too_many_pixels", f"the image has {dimensions}, more than {max_pixels}")
    if min(size) < 1:
        raise ImageInvalid("undecodable", "the image has no pixels")


def _check_scans(data: bytes) -> None:
    """Raises ImageInvalid for a JPEG, without its metadata, of more scans than an honest one has."""
    # Counted anywhere in the file: chance makes two in 32 MB.
    if not data.startswith(JPEG) or _pairs(data, _SCAN[:2]) <= decode_limits.MAX_SCANS:
        return
    if (count := data.count(_SCAN)) > decode_limits.MAX_SCANS:
        raise ImageInvalid("undecodable", f"the image has {count} scans, more than {decode_limits.MAX_SCANS}")


def _pairs(data: bytes, pair: bytes) -> int:
    """How often two bytes follow each other: a sixth of the time that `bytes.count` takes for them."""
    wanted = np.frombuffer(pair, np.uint16)
    halves = (np.frombuffer(data, np.uint16, (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(half == wanted)) for half in halves)


def _check_storage(image: ImageFile.ImageFile, max_pixels: int) -> None:
    """Of an opened image: whether decoding takes what its size tells. Raises ImageInvalid."""
    if any(tile.codec_name == "bmp_rle" for tile in image.tile):
        _check_area("run-length encoded", image.size, min(max_pixels, decode_limits.MAX_RLE_PIXELS))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tile = (
            image.tag_v2.get(TiffImagePlugin.TILEWIDTH, 0),
            image.tag_v2.get(TiffImagePlugin.TILELENGTH, 0),
        )
        _check_area("in tiles of", tile, max(max_pixels, decode_limits.ANY_TILE_PIXELS))


def _check_area(how: str, size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        dimensions = f"{size[0]} x {size[1]} pixels"
        raise ImageInvalid("too_many_pixels", f"the image is {how} {dimensions}, more than {max_pixels}")


def _upright_crop(image: OpenedImage, spec: PreprocessSpec) -> Pixels:
    file, turning = image.file, image.orientation
    if spec.draft and image.can_be_reduced:
        _reduce_jpeg(file, spec)
    file.load()
    if turning is None:
        turning = remaining_turn(file)
    is_plain = file.mode == "RGB" and not file.has_transparency_data  # most are: nothing of `values` is asked
    rgb = file if is_plain else as_rgb(file)
    crop = centre(rgb, spec.size, spec.resize, spec.interpolation)
    # The crop is square and central, so turning it last is turning the image, for a fraction of the cost.
    upright = crop if turning == UPRIGHT else np.asarray(turn(Image.fromarray(crop), turning))
    return np.ascontiguousarray(upright)


def _reduce_jpeg(image: Image.Image, spec: PreprocessSpec) -> None:
    """libjpeg decodes at 1/2, 1/4 or 1/8 at no cost, here never below twice the size that is wanted."""
    scale = 2 * spec.resize / min(image.size)
    if scale < 1:
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
