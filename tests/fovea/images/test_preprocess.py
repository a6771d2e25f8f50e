"""The one image path."""

import contextlib
import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels, crop_image, decode_image, open_image
from fovea.images.spec import PreprocessSpec
from tests import tiny
from tests.fovea.images.turned import STORED

SPEC = PreprocessSpec(size=32, resize=36)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def quadrants(width: int = 120, height: int = 90) -> Image.Image:
    """Red, green / blue, white: shows turning and mirroring."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    pixels[: height // 2, width // 2 :] = (0, 255, 0)
    pixels[height // 2 :, : width // 2] = (0, 0, 255)
    pixels[height // 2 :, width // 2 :] = (255, 255, 255)
    return Image.fromarray(pixels)


def corners(crop: Pixels) -> list[tuple[int, ...]]:
    return [tuple(int(v) for v in crop[y, x]) for y in (3, -4) for x in (3, -4)]


def reason(data: bytes, **limits: int) -> str:
    with pytest.raises(ImageInvalid) as caught:
        decode_image(data, SPEC, **limits)
    return caught.value.reason


def test_crop_is_contiguous_uint8_rgb_of_the_specified_size() -> None:
    crop = decode_image(tiny.picture("red", (300, 200)), SPEC)
    assert crop.shape == (32, 32, 3)
    assert crop.dtype == np.uint8
    assert crop.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_image_upright(orientation: int) -> None:
    undo = STORED[orientation]
    stored = quadrants().transpose(undo) if undo is not None else quadrants()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "TIFF", "WEBP"):
        lossless = {"lossless": True} if kind == "WEBP" else {}
        upright = decode_image(saved(stored, kind, exif=exif, **lossless), SPEC)
        assert corners(upright) == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], kind


def test_the_centre_is_kept_and_the_shorter_side_decides_the_scale() -> None:
    wide = Image.new("RGB", (400, 100), "black")
    wide.paste("red", (150, 0, 250, 100))
    crop = decode_image(saved(wide), PreprocessSpec(size=50, resize=50))
    assert (crop[:, 1:-1] == (255, 0, 0)).all()


def test_transparent_pixels_become_white() -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert (decode_image(saved(image), SPEC) == 255).all()


def test_the_transparent_colour_of_an_rgb_image_becomes_white() -> None:
    image = Image.new("RGB", (20, 20), (0, 0, 255))
    assert (decode_image(saved(image), SPEC) == (0, 0, 255)).all()
    assert (decode_image(saved(image, transparency=(0, 0, 255)), SPEC) == 255).all()


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    assert (decode_image(saved(image, transparency=0), SPEC) == 255).all()


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    levels = np.full((40, 40), 32896, np.uint16)  # 128 * 257
    assert (decode_image(saved(Image.fromarray(levels)), SPEC) == 128).all()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "GIF"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("RGBA", "WEBP"),
    ],
)
def test_every_colour_mode_becomes_rgb(mode: str, kind: str) -> None:
    grey = Image.new("RGB", (40, 40), (255, 255, 255)).convert(mode)
    crop = decode_image(saved(grey, kind), SPEC)
    assert crop.shape == (32, 32, 3)
    assert (crop >= 250).all()


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_image(data, SPEC)[..., 0] > 250).all()


def test_draft_mode_stays_close_to_the_full_decode() -> None:
    large = saved(quadrants(2400, 1800), "JPEG", quality=95)
    full = decode_image(large, SPEC.model_copy(update={"draft": False}))
    reduced = decode_image(large, SPEC)
    assert np.abs(full.astype(int) - reduced).mean() < 2


def test_a_draft_never_has_less_than_twice_the_size_that_is_wanted() -> None:
    # SPEC resizes the shorter side to 36 pixels.
    decoded_at = {71: 71, 143: 143, 144: 72, 287: 144, 288: 72, 575: 144, 576: 72, 1151: 144, 1152: 144}
    for shorter, expected in decoded_at.items():
        for size in ((shorter, shorter * 3 // 2), (shorter * 3 // 2, shorter)):
            opened = open_image(saved(Image.new("RGB", size, "red"), "JPEG"))
            crop_image(opened, SPEC)
            assert min(opened.file.size) == expected, size


def test_the_same_bytes_give_the_same_pixels() -> None:
    data = tiny.picture("green", (333, 222), "JPEG")
    assert np.array_equal(decode_image(data, SPEC), decode_image(data, SPEC))


def test_a_one_pixel_image_is_classified_like_any_other() -> None:
    assert decode_image(saved(Image.new("RGB", (1, 1), "red")), SPEC).shape == (32, 32, 3)


def test_no_bytes_are_refused() -> None:
    assert reason(b"") == "empty"


def test_text_is_refused() -> None:
    assert reason(b"hello, I am not an image") == "not_an_image"


def test_too_many_bytes_are_refused_before_decoding() -> None:
    assert reason(tiny.picture("red"), max_bytes=100) == "too_many_bytes"


def test_too_many_pixels_are_refused_by_the_header_alone() -> None:
    assert reason(header_of_a_png(101, 100), max_pixels=10_000) == "too_many_pixels"
    assert reason(header_of_a_png(101, 100), max_pixels=10_100) == "undecodable"


def test_more_pixels_than_pillow_takes_are_refused_as_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000)
    assert reason(saved(Image.new("RGB", (101, 100)))) == "too_many_pixels"


def header_of_a_png(width: int, height: int) -> bytes:
    """A PNG that states its size and has no pixel data to speak of."""
    fields = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    data = b"IDAT" + zlib.compress(b"\0" * 10)
    chunks = [(len(part) - 4).to_bytes(4) + part + zlib.crc32(part).to_bytes(4) for part in (fields, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    data = saved(quadrants(), kind)
    assert reason(data[: len(data) // 2]) in {"undecodable", "not_an_image"}


KINDS = st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF"])


@given(KINDS, st.integers(0), st.binary(min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_end_in_pixels_or_invalid_image(kind: str, place: int, damage: bytes) -> None:
    data = bytearray(saved(quadrants(48, 36), kind))
    start = place % len(data)
    data[start : start + len(damage)] = damage
    with contextlib.suppress(ImageInvalid):
        assert decode_image(bytes(data), SPEC).shape == (32, 32, 3)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_random_bytes_end_in_invalid_image(data: bytes) -> None:
    with pytest.raises(ImageInvalid):
        decode_image(data, SPEC)


def test_damaged_exif_does_not_spoil_the_pixels() -> None:
    data = saved(quadrants(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert decode_image(data, SPEC).shape == (32, 32, 3)


def test_digest_follows_the_specification() -> None:
    assert SPEC.digest == PreprocessSpec(size=32, resize=36).digest
    assert SPEC.digest != PreprocessSpec(size=32, resize=37).digest


def test_a_crop_larger_than_the_resized_image_is_refused() -> None:
    with pytest.raises(ValidationError, match="larger than the resized image"):
        PreprocessSpec(size=40, resize=32)


def test_specification_is_of_the_first_format() -> None:
    assert SPEC.model_dump(mode="json") == {
        "format": 1,
        "size": 32,
        "resize": 36,
        "interpolation": "bilinear",
        "draft": True,
    }


def test_eight_megabytes_of_an_images_memory_are_kept_for_the_next() -> None:
    core: Any = vars(Image)["core"]
    assert core.get_block_size() * core.get_blocks_max() == 8 * 2**20


def test_sides_of_a_crop_have_bounds() -> None:
    assert PreprocessSpec(size=1, resize=1).size == 1
    assert PreprocessSpec(size=2048, resize=4096).resize == 4096
    for size, resize in ((0, 32), (2049, 4096), (32, 4097), (0, 0)):
        with pytest.raises(ValidationError):
            PreprocessSpec(size=size, resize=resize)
