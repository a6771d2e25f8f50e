"""docs/images.md: formats, endings and limits are the image path's."""

from fovea.images import decode_limits, tiff
from fovea.images.formats import IMAGE_SUFFIXES, readable
from fovea.images.preprocess import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from tests.docs.pages import IMAGES
from tests.markdown import amount
from trainer.images.traits import DOUBTFUL

PILLOWS = {"HEIC, HEIF": "HEIF", "JPEG XL": "JXL"}
"""The page's name -> Pillow's, where it is not the same in capitals."""


def test_formats_and_endings_are_those_that_are_read() -> None:
    rows = IMAGES.table("format", "endings")
    names = [row["format"].text for row in rows]
    assert {PILLOWS.get(name, name.upper()) for name in names} == set(readable())
    assert sorted(ending for row in rows for ending in row["endings"].code) == sorted(IMAGE_SUFFIXES)


def test_limits_are_the_image_paths() -> None:
    limits = {row["of an image"].text: amount(row["at most"].text) for row in IMAGES.table("of an image")}
    assert limits == {
        "bytes": MAX_IMAGE_BYTES,
        "pixels": MAX_IMAGE_PIXELS,
        "pixels of a run-length encoded BMP": decode_limits.MAX_RLE_PIXELS,
        "scans of a JPEG": decode_limits.MAX_SCANS,
        "pieces of a file": decode_limits.MAX_PIECES,
        "places of strips in a TIFF": tiff.MAX_VALUES,
    }


def test_doubt_is_called_as_the_audit_calls_it() -> None:
    assert "range guessed" in IMAGES.code
    assert "range guessed" in DOUBTFUL
