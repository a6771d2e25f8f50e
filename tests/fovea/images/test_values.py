"""Samples of every kind come out as bright as their file says, or are counted as guessed."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fovea.errors import ImageInvalid
from fovea.images.preprocess import decode_image, open_image
from fovea.images.spec import PreprocessSpec
from fovea.images.values import as_rgb, is_guessed, stated_range
from tests.odd_images import Tag, png_chunk, saved, tags, tiff

SIDE = 16
SPEC = PreprocessSpec(size=SIDE, resize=SIDE)
RAMP = np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))
BLACK_TO_WHITE = np.round(RAMP[0] * 255).astype(int).tolist()

WHITE_IS_ZERO = (262, 3, 1, 0)
SHORT, LONG, FLOAT = 3, 4, 11


def grey_tiff(values: npt.NDArray[np.generic], *more: Tag) -> bytes:
    """Uncompressed, little-endian, of the array's dtype."""
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    return stored_tiff(values.tobytes(), 8 * values.dtype.itemsize, (339, SHORT, 1, kind), *more)


def stored_tiff(pixels: bytes, bits: int, *more: Tag) -> bytes:
    own_tags = {tag[0]: tag for tag in tags(SIDE, SIDE, compression=1, stored=len(pixels))}
    own_tags |= {258: (258, SHORT, 1, bits)} | {tag[0]: tag for tag in more}
    own_tags[273] = (273, LONG, 1, 14 + 12 * len(own_tags))
    return tiff([own_tags[number] for number in sorted(own_tags)], pixels)


def float_bits(value: float) -> int:
    return int(np.array(value, np.float32).view(np.uint32))


def twelve_bits(values: npt.NDArray[np.uint16]) -> bytes:
    """Two samples in three bytes."""
    pairs = values.reshape(-1, 2).astype(int)
    return b"".join(int(first << 12 | second).to_bytes(3) for first, second in pairs)


def levels(data: bytes) -> list[int]:
    """Of a row, from left to right."""
    crop = decode_image(data, SPEC)
    assert (crop == crop[:1]).all()
    assert (crop[..., 0] == crop[..., 2]).all()
    return [int(level) for level in crop[0, :, 0]]


U16 = (RAMP * 65_535).round().astype(np.uint16)
U12 = (RAMP * 4_095).round().astype(np.uint16)
FLOATS = RAMP.astype(np.float32)
STATED = {
    "16 bits": grey_tiff(U16),
    "16 bits, white is zero": grey_tiff(65_535 - U16, WHITE_IS_ZERO),
    "12 bits": stored_tiff(twelve_bits(U12), 12),
    "12 bits in 16": grey_tiff(U12, (281, SHORT, 1, 4_095)),
    "10 bits in 16, white is zero": grey_tiff(
        1023 - (RAMP * 1023).round().astype(np.uint16), WHITE_IS_ZERO, (281, SHORT, 1, 1023)
    ),
    "16 bits of a stated range": grey_tiff(
        (RAMP * 30_000 + 500).round().astype(np.uint16), (340, SHORT, 1, 500), (341, SHORT, 1, 30_500)
    ),
    "floats of a stated range": grey_tiff(
        FLOATS * 7 - 3, (340, FLOAT, 1, float_bits(-3)), (341, FLOAT, 1, float_bits(4))
    ),
    "16-bit png": saved(Image.fromarray(U16), "PNG"),
}
GUESSED = {
    "floats to 1": grey_tiff(FLOATS),
    "floats to 1.0001": grey_tiff(FLOATS * np.float32(1.0001)),
    "floats to 1, white is zero": grey_tiff(1 - FLOATS, WHITE_IS_ZERO),
    "floats to 255": grey_tiff(FLOATS * 255),
    "floats to 65535": grey_tiff(FLOATS * 65_535),
    "32 bits to 255": grey_tiff((RAMP * 255).round().astype(np.int32)),
    "32 bits to 65535": grey_tiff(U16.astype(np.uint32)),
    "32 bits to all": grey_tiff((RAMP * (2**32 - 1)).round().astype(np.uint32)),
    "signed 16 bits": grey_tiff((RAMP * 65_535 - 32_768).round().astype(np.int16)),
}


@pytest.mark.parametrize("name", [*STATED, *GUESSED])
def test_ramp_from_black_to_white_comes_out_as_one(name: str) -> None:
    data = {**STATED, **GUESSED}[name]
    assert np.abs(np.subtract(levels(data), BLACK_TO_WHITE)).max() <= 1
    assert is_guessed(open_image(data).file) == (name in GUESSED)


def test_largest_value_that_is_only_this_images_own_brightens_nothing() -> None:
    """TIFF 6.0: MaxSampleValue is not to be used to affect how an image looks."""
    assert levels(grey_tiff(U12, (281, SHORT, 1, 3_700)))[-1] == 16
    assert levels(grey_tiff(U16, (281, SHORT, 1, 1))) == levels(grey_tiff(U16))


def of_samples(kind: type[np.generic], *samples: float, more: tuple[Tag, ...] = ()) -> list[int]:
    """The levels that a row of these samples comes out as."""
    row = np.array([*samples, *[0] * (SIDE - len(samples))], kind)
    return levels(grey_tiff(np.tile(row, (SIDE, 1)), *more))[: len(samples)]


def test_white_of_integers_is_the_largest_of_the_bits_that_hold_them() -> None:
    for bits, more in ((8, True), (16, True), (24, True), (32, False)):
        white, half = 2**bits - 1, 2 ** (bits - 1)
        assert of_samples(np.uint32, white, white // 5, 0) == [255, 51, 0]
        assert of_samples(np.int32, -half, 0, half - 1) == [0, 128, 255]
        if more:
            assert of_samples(np.uint32, white + 1) == [1]
            assert of_samples(np.int32, -half - 1, 0) == [127, 128]
            assert of_samples(np.int32, half, 0, -1)[:2] == [128, 128]


def test_white_of_floats_is_1_or_that_of_8_or_16_bits_as_far_as_resizing_overshoots() -> None:
    for samples, expected in (
        ((2, 1, 0.2, 0), [255, 255, 51, 0]),
        ((2.25, 1.25), [2, 1]),
        ((510, 255, 51), [255, 255, 51]),
        ((511, 51), [2, 0]),
        ((131_070, 65_535, 13_107), [255, 255, 51]),
        ((131_072, 65_536, 0), [255, 128, 0]),
    ):
        assert of_samples(np.float32, *samples) == expected, samples


def test_what_is_nearer_to_black_than_to_the_first_level_is_black() -> None:
    nearest = np.tile(np.array([128, 129] * (SIDE // 2), np.uint16), (SIDE, 1))
    for data in (grey_tiff(nearest), saved(Image.fromarray(nearest), "PNG")):
        assert levels(data)[:2] == [0, 1]
    assert of_samples(np.uint16, 2, 3, more=((281, SHORT, 1, 1_023),)) == [0, 1]


def test_stated_largest_value_counts_where_it_fills_bits() -> None:
    for largest in (255, 511, 1_023, 32_767, 65_535):
        assert of_samples(np.uint16, largest, largest // 5, more=((281, SHORT, 1, largest),))[0] == 255
    for odd in (127, 254, 256, 300, 32_768):
        assert of_samples(np.uint16, 257, 13_107, more=((281, SHORT, 1, odd),)) == [1, 51], odd
    assert of_samples(np.uint16, 257, more=((281, FLOAT, 1, float_bits(1_023.5)),)) == [1]


def test_stated_range_counts_where_it_is_one() -> None:
    for low, high, expected in ((0, 257, 255), (1, 2, 255), (257, 257, 1), (300, 257, 1)):
        ends = ((340, SHORT, 1, low), (341, SHORT, 1, high))
        assert of_samples(np.uint16, 257, more=ends) == [expected], (low, high)
    assert of_samples(np.uint16, 257, 0, more=((341, SHORT, 1, 1_285),)) == [51, 0]
    assert of_samples(np.uint16, 257, more=((340, SHORT, 1, 100),)) == [1]
    for odd in (np.nan, np.inf, -np.inf):
        assert of_samples(np.uint16, 257, more=((341, FLOAT, 1, float_bits(odd)),)) == [1]


def test_grey_floats_of_a_jpeg_xl_are_no_guess() -> None:
    image = Image.new("F", (4, 4), 2)
    assert is_guessed(image)
    image.format = "JXL"
    assert stated_range(image) == (0, 1)


def test_sixteen_bits_of_a_png_go_from_0_to_65535() -> None:
    with Image.open(io.BytesIO(saved(Image.fromarray(U16), "PNG"))) as image:
        assert stated_range(image) == (0, 65_535)


def test_values_that_are_no_numbers_are_black_or_white() -> None:
    odd = FLOATS.copy()
    odd[:, 3], odd[:, 5], odd[:, 7] = np.nan, np.inf, -np.inf
    row = levels(grey_tiff(odd))
    assert (row[3], row[5], row[7]) == (0, 255, 0)
    assert row[8:] == BLACK_TO_WHITE[8:]


def test_transparent_value_of_a_16_bit_png_comes_onto_white() -> None:
    png = saved(Image.fromarray(U16), "PNG")
    clear = png_chunk(b"tRNS", int(U16[0, 0]).to_bytes(2))
    row = levels(png[:33] + clear + png[33:])
    assert (row[0], row[1:]) == (255, levels(png)[1:])


def test_premultiplied_transparency_comes_onto_white() -> None:
    half_red = Image.new("RGBA", (4, 4), (255, 0, 0, 128)).convert("RGBa")
    assert as_rgb(half_red).getpixel((1, 1)) == pytest.approx((255, 127, 127), abs=1)
    half_black = Image.merge("LA", [Image.new("L", (4, 4), level) for level in (0, 128)]).convert("La")
    assert as_rgb(half_black).getpixel((1, 1)) == pytest.approx((127, 127, 127), abs=1)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (grey_tiff(RAMP), "a TIFF of 1 x 64-bit float samples, black is zero"),
        (stored_tiff(bytes(256), 8, (259, SHORT, 1, 34_712)), "black is zero, compression 34712"),
        (stored_tiff(bytes(256), 8, (262, SHORT, 1, 32_803)), "colour filter array"),
        (grey_tiff(U16)[:40], None),
    ],
    ids=["64 bits", "JPEG 2000", "raw", "cut off"],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_kind_of_tiff_that_pillow_lacks_is_said_to_be_that(data: bytes, kind: str | None) -> None:
    with pytest.raises(ImageInvalid) as caught:
        decode_image(data, SPEC)
    if kind:
        assert f"{kind}" in str(caught.value)
        assert str(caught.value).endswith("which Pillow cannot read")
    else:
        assert "Pillow cannot read" not in str(caught.value)


def lossless_jpeg(side: int, bits: int = 8) -> bytes:
    """ISO 10918-1, annex H: a grey that goes up and down by one from column to column."""
    frame = bytes([bits, *side.to_bytes(2), *side.to_bytes(2), 1, 1, 0x11, 0])
    table = bytes([0, 0, 2, *[0] * 14, 0, 1])  # two codes of two bits: a difference of nothing, and of one
    row = ["00"] + ["011" if x % 2 else "010" for x in range(1, side)]
    stream = "".join(row * side)
    stream += "1" * (-len(stream) % 8)
    packed = int(stream, 2).to_bytes(len(stream) // 8).replace(b"\xff", b"\xff\0")
    return b"".join(
        [
            b"\xff\xd8",
            *(
                bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body
                for marker, body in ((0xC3, frame), (0xC4, table), (0xDA, bytes([1, 1, 0, 1, 0, 0])))
            ),
            packed,
            b"\xff\xd9",
        ]
    )


def test_lossless_jpeg_is_read_large_and_small() -> None:
    for side in (24, 400):
        crop = decode_image(lossless_jpeg(side), SPEC)
        assert crop.shape == (SIDE, SIDE, 3)
        assert np.abs(crop.astype(int) - 128).max() <= 1
    with Image.open(io.BytesIO(lossless_jpeg(24))) as image:
        assert set(image.tobytes()) == {128, 129}


def test_jpeg_of_more_bits_is_said_to_be_that() -> None:
    with pytest.raises(
        ImageInvalid, match="the image is a JPEG of 12 bits a sample, which Pillow cannot read"
    ):
        decode_image(lossless_jpeg(24, bits=12), SPEC)
