"""What a file may ask of its decoder, beside pixels."""

import contextlib
import warnings
from itertools import repeat
from types import ModuleType

import pytest

from fovea.errors import ImageInvalid
from fovea.images import decode_limits, tiff
from fovea.images.metadata import MeteredFile
from fovea.images.preprocess import decode_image, open_image
from tests import hostile, odd_images, tiny
from tests.hostile import Case
from tests.odd_images import TILE, png, png_chunk, tags

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
        with contextlib.suppress(ImageInvalid), warnings.catch_warnings():
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
STRIPS = odd_images.saved(odd_images.PICTURE, "TIFF", compression="tiff_lzw", strip_size=2 * 32 * 3)
IN_PIECES = with_segments(EXIF, b"\xff\xfe\0\x03x" * 60)
CHUNKS = png(8, 8, bytes(200), before=png_chunk(b"abCd", b"") * 60)
COMMENTS = IMAGES["gif"][:6] + IMAGES["gif"][6:].replace(b"\x2c", b"\x21\xfe" + b"\x01x" * 60 + b"\0\x2c", 1)
TABLES = with_segments(EXIF, segment(EXIF, b"\xff\xdb") * 40)


@pytest.mark.parametrize(
    ("module", "limit", "value", "data", "complaint"),
    [
        (decode_limits, "MAX_PIECES", 50, IN_PIECES, "too many small pieces"),
        (decode_limits, "MAX_PIECES", 50, CHUNKS, "too many small pieces"),
        (decode_limits, "MAX_PIECES", 50, COMMENTS, "too many small pieces"),
        (decode_limits, "MAX_HEADER_READS", 50, TABLES, "too many small pieces"),
        (decode_limits, "MAX_READS", 10, IMAGES["bmp rle"], "too many small pieces"),
        (
            decode_limits,
            "MAX_RLE_PIXELS",
            255,
            IMAGES["bmp rle"],
            "run-length encoded 16 x 16 pixels, more than 255",
        ),
        (decode_limits, "MAX_SCANS", 1, SCANS, "the image has 10 scans, more than 1"),
        (tiff, "MOST_DIRECTORIES", 0, IMAGES["avif exif"], "more than 0 directories of EXIF"),
        (tiff, "MAX_VALUES", 11, STRIPS, "a tag of the image has 12 values, more than 11"),
    ],
)
def test_image_that_asks_more_than_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, limit: str, value: int, data: bytes, complaint: str
) -> None:
    """The limit is lowered to what a harmless image exceeds."""
    assert decode_image(data, tiny.SPEC).shape == (16, 16, 3)
    monkeypatch.setattr(module, limit, value)
    with pytest.raises(ImageInvalid, match=complaint):
        decode_image(data, tiny.SPEC)


def test_scans_are_not_looked_for_in_what_a_file_says_beside_its_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scans = b"\xff\xda\0" * 20
    commented = with_segments(EXIF, b"\xff\xfe" + (len(scans) + 2).to_bytes(2) + scans)
    monkeypatch.setattr(decode_limits, "MAX_SCANS", 1)
    assert decode_image(commented, tiny.SPEC).shape == (16, 16, 3)


def test_tile_larger_than_any_image_may_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = odd_images.tiff(tags(8, 8, tile=(16, 16), stored=len(TILE)), TILE)
    monkeypatch.setattr(decode_limits, "ANY_TILE_PIXELS", 256)
    assert decode_image(data, tiny.SPEC, max_pixels=64).shape == (16, 16, 3)
    monkeypatch.setattr(decode_limits, "ANY_TILE_PIXELS", 255)
    with pytest.raises(ImageInvalid, match="in tiles of 16 x 16 pixels, more than 255"):
        decode_image(data, tiny.SPEC, max_pixels=64)


def test_image_just_within_a_limit_is_decoded_and_one_beyond_it_is_not() -> None:
    scan, tables = b"\xff\xda\x00", segment(EXIF, b"\xff\xdb")
    longest = EXIF + bytes(2**25 - len(EXIF))
    cases: list[tuple[bytes, bytes, str]] = [
        (SCANS + scan * 90, SCANS + scan * 91, "101 scans, more than 100"),
        (with_segments(EXIF, tables * 900), with_segments(EXIF, tables * 1_800), "too many small pieces"),
        (longest, longest + b"\0", "33554433 bytes, more than 33554432"),
    ]
    for within, beyond, complaint in cases:
        assert decode_image(within, tiny.SPEC).shape == (16, 16, 3)
        with pytest.raises(ImageInvalid, match=complaint):
            decode_image(beyond, tiny.SPEC)


def test_pixels_are_limited_before_it_is_seen_whether_they_are_there() -> None:
    tile, taller = (odd_images.tiff(tags(8, 8, tile=(1024, side), stored=0), b"") for side in (1024, 1040))
    cases: list[tuple[bytes, bytes, str]] = [
        (png(8_000, 8_000, b""), png(8_000, 8_001, b""), "8000 x 8001 pixels, more than 64000000"),
        (odd_images.bmp_rle(4_000, 2_500, b""), odd_images.bmp_rle(4_000, 2_501, b""), "more than 10000000"),
        (tile, taller, "in tiles of 1024 x 1040 pixels, more than 1048576"),
    ]
    for within, beyond, complaint in cases:
        limit = {"max_pixels": 64} if within is tile else {}
        with pytest.raises(ImageInvalid) as caught:
            decode_image(within, tiny.SPEC, **limit)
        assert caught.value.reason == "undecodable"
        with pytest.raises(ImageInvalid, match=complaint) as caught:
            decode_image(beyond, tiny.SPEC, **limit)
        assert caught.value.reason == "too_many_pixels"


def test_an_image_may_read_its_file_a_million_times() -> None:
    file = open_image(IMAGES["bmp"]).file.fp
    assert file is not None
    assert sum(map(len, map(file.read, repeat(0, 1_000_000)))) == 0
    with pytest.raises(ImageInvalid, match="too many small pieces"):
        file.read(0)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_file_that_is_cut_off_in_its_header_is_invalid_wherever() -> None:
    for data in IMAGES.values():
        for cut in range(64):
            with pytest.raises(ImageInvalid):
                decode_image(data[:cut], tiny.SPEC)


def test_metered_file_gives_so_many_reads_and_no_more() -> None:
    file = MeteredFile(b"abc")
    file.reads_left = 1
    assert file.read() == b"abc"
    with pytest.raises(ImageInvalid):
        file.read()
