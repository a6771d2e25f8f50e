"""The one image path: encoded bytes -> uint8 crop. Training, serving and scoring all come through here.

What is done to an image is written down in a `PreprocessSpec`, which is part of the model bundle. The
bytes may come from anybody: size and pixels are bounded before anything is decoded, and whatever is wrong
with an image ends in `ImageInvalid`.

What resizes is the extension `_resize`, built where the installation finds a C compiler: it takes the pixels
from Pillow's memory as they lie there, both passes at once, by the processor's vectors. Elsewhere it is
Pillow, with the same bits.
"""

import importlib
import math
from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from fovea.errors import ImageInvalid
from fovea.images import decode_limits, jxl, kinds
from fovea.images.formats import readable
from fovea.images.metadata import (
    UPRIGHT,
    MeteredFile,
    bare,
    check_pixels,
    check_scans,
    check_storage,
    remaining_turn,
    turn,
)
from fovea.images.spec import Interpolation, PreprocessSpec
from fovea.images.values import as_rgb

Pixels = npt.NDArray[np.uint8]


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

REASONS: Final = ("empty", "too_many_bytes", "not_an_image", "too_many_pixels", "undecodable")

MAX_IMAGE_BYTES: Final = 32 * 1024 * 1024
MAX_IMAGE_PIXELS: Final = 64_000_000

WORTH_CUTTING: Final = 0.8
"""Of an image's rows; a copy of more of them takes longer than resizing those that are left over."""

_FILTERS: Final = {
    "bilinear": (Image.Resampling.BILINEAR, 0, 1),
    "bicubic": (Image.Resampling.BICUBIC, 1, 2),
    "lanczos": (Image.Resampling.LANCZOS, 2, 3),
}
"""Pillow's, the extension's, and with how many pixels of the result each reaches to either side."""


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
    check_pixels(image.size, max_pixels)
    reduces = image.format in {"JPEG", "MPO"} and not pixels.is_lossless_jpeg
    return OpenedImage(image, pixels.orientation, reduces, data, max_pixels)


def crop_image(image: OpenedImage, spec: PreprocessSpec) -> Pixels:
    """What `decode_image` gives, of an image that was opened; once. Raises ImageInvalid."""
    try:
        check_storage(image.file, image.max_pixels)
        return _upright_crop(image, spec)
    except ImageInvalid:
        raise
    except Exception as error:  # decoders raise a dozen types on broken files
        raise kinds.damaged(image.data, error, image.file.format) from error


def _bare_jxl(data: bytes, max_pixels: int) -> bytes:
    """What its decoder is given, which decodes every frame as soon as it opens the file."""
    header = jxl.read_header(data)
    check_pixels((header.width, header.height), max_pixels)
    if header.is_animated:
        raise ImageInvalid("undecodable", "the image is an animated JPEG XL, which is not read")
    return jxl.bare(data)


def _open(pixels: bytes, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """`pixels` is `data` without its metadata."""
    check_scans(pixels)
    file = MeteredFile(pixels)
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


def _upright_crop(image: OpenedImage, spec: PreprocessSpec) -> Pixels:
    file, turning, whole = image.file, image.orientation, image.file.size
    if spec.draft and image.can_be_reduced:
        _reduce_jpeg(file, spec)
    file.load()
    if turning is None:
        turning = remaining_turn(file)
    is_plain = file.mode == "RGB" and not file.has_transparency_data  # most are: nothing of `values` is asked
    rgb = file if is_plain else as_rgb(file)
    if spec.fit == "pad":
        # As the header has them: at a reduced scale sides are rounded.
        proportions = whole if image.can_be_reduced else rgb.size
        small = _resized(rgb, _fitting(proportions, spec.size), spec.interpolation)
        return _letterbox(turn(small, turning), spec)
    crop = centre(rgb, spec.size, spec.resize, spec.interpolation)
    # The crop is square and central, so turning it last is turning the image, for a fraction of the cost.
    upright = crop if turning == UPRIGHT else np.asarray(turn(Image.fromarray(crop), turning))
    return np.ascontiguousarray(upright)


def _reduce_jpeg(image: Image.Image, spec: PreprocessSpec) -> None:
    """libjpeg decodes at 1/2, 1/4 or 1/8 at no cost, here never below twice the size that is wanted."""
    scale = 2 * spec.resize / (max(image.size) if spec.fit == "pad" else min(image.size))
    if scale < 1:
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


def _fitting(whole: tuple[int, int], size: int) -> tuple[int, int]:
    """The width and height of such an image when its longer side is made `size`."""
    width, height = whole
    if width > height:
        return size, max(1, round(height / width * size))
    return (max(1, round(width / height * size)), size) if height > width else (size, size)


def _resized(image: Image.Image, to: tuple[int, int], interpolation: Interpolation) -> Image.Image:
    """Each axis by itself, as `_by_pillow` does."""
    resample = _FILTERS[interpolation][0]
    return image.resize((to[0], image.height), resample).resize(to, resample)


def _letterbox(image: Image.Image, spec: PreprocessSpec) -> Pixels:
    page = Image.new("RGB", (spec.size, spec.size), spec.pad_colour)
    page.paste(image, (round((spec.size - image.width) * 0.5), round((spec.size - image.height) * 0.5)))
    return np.array(page)


class _Square(NamedTuple):
    """What is resized: the box in the rows `first` to `last`, from the first of which it is counted."""

    first: int
    last: int
    box: tuple[float, float, float, float]


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
