"""What a TIFF's first directory says, and what is left of it for the decoder."""

import struct

import pytest
from PIL import TiffTags

from fovea.errors import ImageInvalid
from fovea.images import tiff

LONG = 4
BYTES_OF_TYPE = {3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 8, 10: 8, 12: 8, 16: 8, 17: 8, 18: 8}
"""TIFF 6.0, page 15, and BigTIFF; the types of one byte are left alone."""
TAGS_OF_PIXELS = (
    *("NewSubfileType", "SubfileType", "ImageWidth", "ImageLength"),
    *("BitsPerSample", "Compression", "PhotometricInterpretation", "FillOrder"),
    *("StripOffsets", "Orientation", "SamplesPerPixel", "RowsPerStrip"),
    *("StripByteCounts", "PlanarConfiguration", "T4Options", "T6Options"),
    *("Predictor", "ColorMap", "TileWidth", "TileLength"),
    *("TileOffsets", "TileByteCounts", "InkSet", "NumberOfInks"),
    *("ExtraSamples", "SampleFormat", "SMinSampleValue", "SMaxSampleValue"),
    *("JPEGTables", "JPEGProc", "JPEGInterchangeFormat", "JPEGInterchangeFormatLength"),
    *("JPEGRestartInterval", "JPEGLosslessPredictors", "JPEGPointTransforms", "JPEGQTables"),
    *("JPEGDCTables", "YCbCrCoefficients", "YCbCrSubSampling", "YCbCrPositioning"),
    *("ReferenceBlackWhite",),
)
"""By their names in TIFF 6.0: what a decoder needs to find the samples, to unpack and to interpret them."""
NUMBERS = {TiffTags.lookup(number).name: number for number in range(1_000)}
Entry = tuple[int, int, int, int]
GREY = ((256, LONG, 1, 5), (257, LONG, 1, 4), (262, LONG, 1, 1))


def file_of(*entries: Entry, order: str = "<", is_big: bool = False) -> bytes:
    """Of tag, type, number of values, and the value or its place."""
    start = b"II" if order == "<" else b"MM"
    if is_big:
        head = start + struct.pack(order + "HHHQQ", 43, 8, 0, 16, len(entries))
        return head + b"".join(struct.pack(order + "HHQQ", *entry) for entry in entries) + bytes(8)
    head = start + struct.pack(order + "HIH", 42, 8, len(entries))
    return head + b"".join(struct.pack(order + "HHII", *entry) for entry in entries) + bytes(4)


def test_a_tiff_is_put_into_words() -> None:
    for more, said in (
        ((), "1 x 1-bit unsigned samples, black is zero, compression raw"),
        (
            ((258, LONG, 1, 16), (339, LONG, 1, 2)),
            "1 x 16-bit signed samples, black is zero, compression raw",
        ),
        (((258, LONG, 1, 32), (339, LONG, 1, 3)), "1 x 32-bit float samples, black is zero, compression raw"),
        (((258, LONG, 1, 32), (339, LONG, 1, 4)), "1 x 32-bit undefined samples"),
        (((258, LONG, 1, 64), (339, LONG, 1, 6)), "1 x 64-bit complex samples"),
        (
            ((277, LONG, 1, 5), (259, LONG, 1, 5)),
            "5 x 1-bit unsigned samples, black is zero, compression tiff_lzw",
        ),
        (((259, LONG, 1, 55_555),), "compression 55555"),
    ):
        for order, is_big, name in (("<", False, "little"), (">", False, "big"), ("<", True, "little")):
            described = tiff.describe(file_of(*sorted((*GREY, *more)), order=order, is_big=is_big))
            assert described is not None, said
            assert described.startswith("a TIFF of ")
            assert said in described
            assert described.endswith(f", {name}-endian")


def test_the_meaning_of_samples_has_its_name() -> None:
    for meaning, name in (
        (0, "white is zero"),
        (2, "RGB"),
        (5, "CMYK"),
        (32_803, "colour filter array"),
        (34_892, "linear raw"),
        (77, "photometric interpretation 77"),
    ):
        assert f"samples, {name}, compression" in str(
            tiff.describe(file_of(*GREY[:2], (262, LONG, 1, meaning)))
        )


def test_of_a_tiff_without_size_or_meaning_nothing_is_said() -> None:
    for left_out in range(3):
        assert tiff.describe(file_of(*GREY[:left_out], *GREY[left_out + 1 :])) is None
    for cut in (0, 2, 3, 4, 8, 20):
        assert tiff.describe(file_of(*GREY)[:cut]) is None


def test_long_tags_of_every_type_are_shortened_but_the_pixels() -> None:
    for order in "<>":
        for is_big in (False, True):
            for kind, size_bytes in BYTES_OF_TYPE.items():
                room = bytes(1001 * size_bytes)
                long = file_of((40_000, kind, 1001, 50), order=order, is_big=is_big) + room
                short = file_of((40_000, kind, 1, 50), order=order, is_big=is_big) + room
                assert tiff.without_long_metadata(long) == short, (order, is_big, kind)
                usual = file_of((40_000, kind, 1000, 50), order=order, is_big=is_big) + room
                assert tiff.without_long_metadata(usual) == usual
                not_there = file_of(
                    (40_000, kind, len(long) // size_bytes + 1, 50), order=order, is_big=is_big
                )
                assert tiff.without_long_metadata(not_there) == not_there
            for tag in (NUMBERS[name] for name in TAGS_OF_PIXELS):
                pixels = file_of((tag, LONG, 1001, 50), order=order, is_big=is_big) + bytes(4004)
                assert tiff.without_long_metadata(pixels) == pixels, tag


def test_bytes_and_text_stay_however_long() -> None:
    for kind in (1, 2, 6, 7):
        text = file_of((40_000, kind, 2000, 50)) + bytes(2000)
        assert tiff.without_long_metadata(text) == text


def test_other_directories_lose_their_tag() -> None:
    for tag in (330, 34_665, 34_853, 40_965):
        for order in "<>":
            for is_big in (False, True):
                leading = file_of((tag, LONG, 3, 8), order=order, is_big=is_big)
                nowhere = file_of((65_535, LONG, 1, 8), order=order, is_big=is_big)
                assert tiff.without_long_metadata(leading) == nowhere


def test_more_values_on_the_pixels_than_a_decoder_should_read_are_refused() -> None:
    room = bytes(4 * 100_001)
    most = file_of((273, LONG, 100_000, 50)) + room
    assert tiff.without_long_metadata(most) == most
    with pytest.raises(ImageInvalid, match="a tag of the image has 100001 values, more than 100000"):
        tiff.without_long_metadata(file_of((273, LONG, 100_001, 50)) + room)


def test_sixteen_directories_of_exif_are_read_and_no_more() -> None:
    one = file_of((40_000, LONG, 1001, 50)) + bytes(4004)
    short = file_of((40_000, LONG, 1, 50)) + bytes(4004)
    assert tiff.without_long_exif(b"avif" + one * 16) == b"avif" + short * 16
    with pytest.raises(ImageInvalid, match="more than 16 directories of EXIF"):
        tiff.without_long_exif(b"avif" + one * 17)


def test_five_thousand_entries_are_read_and_no_more() -> None:
    room = bytes(4004)
    usual = [(40_000, LONG, 1, 50)] * 4_999
    for is_big in (False, True):
        last = file_of(*usual, (40_000, LONG, 1001, 50), is_big=is_big) + room
        assert tiff.without_long_metadata(last) == file_of(*usual, usual[0], is_big=is_big) + room
        beyond = file_of(*usual, usual[0], (40_000, LONG, 1001, 50), is_big=is_big) + room
        assert tiff.without_long_metadata(beyond) == beyond
