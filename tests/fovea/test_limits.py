"""What a file may ask of its decoder, beside pixels."""

import contextlib
import warnings
import zlib

import pytest

from fovea import limits
from fovea.errors import InvalidImage
from fovea.preprocess import decode_image
from tests import hostile, odd_images, tiny
from tests.hostile import Case
from tests.odd_images import TILE, png, png_chunk, tags, tiff

IMAGES = odd_images.collection()


@pytest.mark.parametrize("name", IMAGES)
def test_unusual_image_is_decoded(name: str) -> None:
    assert decode_image(IMAGES[name], tiny.SPEC).shape == (16, 16, 3)


def test_hostile_bytes_end_in_pixels_or_invalid_image() -> None:
    decode_all(hostile.sample(hostile.corpus(), 600))


@pytest.mark.slow
def test_thousands_of_hostile_files_end_in_pixels_or_invalid_image() -> None:
    decode_all(hostile.corpus())


def decode_all(cases: list[Case]) -> None:
    for case in cases:
        with contextlib.suppress(InvalidImage), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert decode_image(case.data, tiny.SPEC).shape == (16, 16, 3), case


def with_segments(jpeg: bytes, segments: bytes) -> bytes:
    """At its beginning."""
    return jpeg[:2] + segments + jpeg[2:]


def segment(jpeg: bytes, marker: bytes) -> bytes:
    """The first with this marker."""
    start = jpeg.index(marker)
    return jpeg[start : start + 2 + int.from_bytes(jpeg[start + 2 : start + 4])]


EXIF = IMAGES["jpeg exif"]
SCANS = IMAGES["jpeg progressive"]
PROFILE = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"profile"))
STRIPS = odd_images.saved(odd_images.PICTURE, "TIFF", compression="tiff_lzw", strip_size=2 * 32 * 3)


@pytest.mark.parametrize(
    ("limit", "value", "data", "complaint"),
    [
        ("MAX_HEADER_READS", 50, with_segments(EXIF, b"\xff\xfe\0\x03x" * 20), "too many small pieces"),
        ("MAX_HEADER_READS", 50, png(8, 8, bytes(200), before=png_chunk(b"abCd", b"") * 40), "small pieces"),
        ("MAX_READS", 10, IMAGES["bmp rle"], "too many small pieces"),
        ("MAX_RLE_PIXELS", 255, IMAGES["bmp rle"], "run-length encoded 16 x 16 pixels, more than 255"),
        ("MAX_VALUES", 11, STRIPS, "a tag of the image has 12 values, more than 11"),
        ("MAX_VALUES", 11, png(8, 8, bytes(200), before=png_chunk(b"eXIf", STRIPS)), "has 12 values"),
    ],
)
def test_image_that_asks_more_than_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, data: bytes, complaint: str
) -> None:
    """The limit is lowered to what a harmless image exceeds."""
    assert decode_image(data, tiny.SPEC).shape == (16, 16, 3)
    monkeypatch.setattr(limits, limit, value)
    with pytest.raises(InvalidImage, match=complaint):
        decode_image(data, tiny.SPEC)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (SCANS, "the image has 10 scans, more than 1"),
        (with_segments(EXIF, segment(EXIF, b"\xff\xe1")), "EXIF segments, more than 1"),
        (png(8, 8, bytes(200), before=PROFILE * 2), "the image has 2 colour profiles, more than 1"),
    ],
)
def test_image_that_repeats_a_part_more_than_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, data: bytes, complaint: str
) -> None:
    assert decode_image(data, tiny.SPEC).shape == (16, 16, 3)
    once = [(start, 0, piece, 1, name) for start, _, piece, _, name in limits._REPEATABLE]
    monkeypatch.setattr(limits, "_REPEATABLE", once)
    with pytest.raises(InvalidImage, match=complaint):
        decode_image(data, tiny.SPEC)


def test_tile_larger_than_any_image_may_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiff(tags(8, 8, tile=(16, 16), stored=len(TILE)), TILE)
    monkeypatch.setattr(limits, "ANY_TILE_PIXELS", 256)
    assert decode_image(data, tiny.SPEC, max_pixels=64).shape == (16, 16, 3)
    monkeypatch.setattr(limits, "ANY_TILE_PIXELS", 255)
    with pytest.raises(InvalidImage, match="in tiles of 16 x 16 pixels, more than 255"):
        decode_image(data, tiny.SPEC, max_pixels=64)


def test_metered_file_gives_so_many_reads_and_no_more() -> None:
    file = limits.MeteredFile(b"abc")
    file.reads_left = 1
    assert file.read() == b"abc"
    with pytest.raises(InvalidImage):
        file.read()
