"""What a file may ask of its decoder, beside pixels."""

import contextlib
import warnings

import pytest

from fovea import limits
from fovea.errors import InvalidImage
from fovea.preprocess import decode_image
from tests import hostile, odd_images, tiny
from tests.bombs import bombs
from tests.hostile import Case

BOMBS = dict(bombs())
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


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("jpeg of 5,000 scans", "the image has 5000 scans, more than 100"),
        ("jpeg exif", "EXIF segments, more than 16"),
        ("jpeg padding", "too many small pieces"),
        ("jpeg junk", "too many small pieces"),
        ("jpeg comments", "too many small pieces"),
        ("png pieces", "too many small pieces"),
        ("png profiles", "the image has 1100 colour profiles, more than 4"),
        ("png exif", "a tag of the image has 110000 values, more than 100000"),
        ("tiff strips", "a tag of the image has 400000 values, more than 100000"),
        ("tiff rationals", "a tag of the image has 110000 values, more than 100000"),
        ("bmp ends of line", "the image is run-length encoded 64000 x 1000 pixels, more than 10000000"),
    ],
)
def test_file_that_would_keep_a_decoder_busy_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(InvalidImage, match=complaint):
        decode_image(BOMBS[name], tiny.SPEC)


def test_tile_far_larger_than_its_image_is_refused() -> None:
    data = odd_images.tiff(odd_images.tags(16, 16, tile=(46_000, 46_000)))
    with pytest.raises(InvalidImage, match="in tiles of 46000 x 46000 pixels"):
        decode_image(data, tiny.SPEC)


def test_jpeg_of_ninety_scans_is_decoded() -> None:
    assert decode_image(BOMBS["jpeg of 90 scans"], tiny.SPEC).shape == (16, 16, 3)


def test_metered_file_gives_so_many_reads_and_no_more() -> None:
    file = limits.MeteredFile(b"abc")
    file.reads_left = 1
    assert file.read() == b"abc"
    with pytest.raises(InvalidImage):
        file.read()
