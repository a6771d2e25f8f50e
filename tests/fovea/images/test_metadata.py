"""What a file says beside its pixels turns the image, and does nothing else to it."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from fovea.images.metadata import Segment, bare, jpeg_segments, odd_jpeg, orientation_in
from fovea.images.preprocess import Pixels, decode_image
from fovea.images.spec import PreprocessSpec
from tests import odd_images
from tests.odd_images import PICTURE, png_chunk, saved

SPEC = PreprocessSpec(size=16, resize=16)
IMAGES = odd_images.collection()
JPEG, PNG, GIF = IMAGES["jpeg"], IMAGES["png"], IMAGES["gif"]


def crop(data: bytes) -> Pixels:
    return decode_image(data, SPEC)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def directory(*entries: tuple[int, int, int, int], order: str = "<") -> bytes:
    """EXIF of one directory: tag, type, number of values, and the value or its place."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHII", *entry) for entry in entries) + bytes(4)


def in_jpeg(exif: bytes) -> bytes:
    return JPEG[:2] + segment(0xE1, b"Exif\0\0" + exif) + JPEG[2:]


def in_png(chunk: bytes) -> bytes:
    """After the header."""
    return PNG[:33] + chunk + PNG[33:]


UNDEFINED, BYTE, ASCII, SHORT, LONG, RATIONAL = 7, 1, 2, 3, 4, 5
TURNED, OTHER = (274, SHORT, 1, 6), (40_000, SHORT, 1, 3)
CLAIMS = {
    "of 2,555,904 bytes": (37_500, UNDEFINED, 2_555_904, 26),
    "of 2,555,904 values": (37_500, RATIONAL, 2_555_904, 26),
    "of text without end": (270, ASCII, 2**32 - 1, 26),
    "of an unknown type": (37_500, 99, 5, 26),
    "of many values of an unknown type": (37_500, 99, 2_555_904, 26),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_claim_of_a_tag_spoils_neither_pixels_nor_orientation(claim: str) -> None:
    for image, exif in (
        (in_jpeg(directory(TURNED, CLAIMS[claim])), "jpeg"),
        (in_png(png_chunk(b"eXIf", directory(TURNED, CLAIMS[claim]))), "png"),
    ):
        upright = decode_image(IMAGES[exif], SPEC)
        assert np.array_equal(crop(image), np.rot90(upright, -1)), exif
    stored = saved(PICTURE, "WEBP", lossless=True, exif=directory(TURNED, CLAIMS[claim]))
    assert np.array_equal(crop(stored), np.rot90(crop(saved(PICTURE, "WEBP", lossless=True)), -1))
    assert np.array_equal(crop(avif_with(directory(CLAIMS[claim]))), crop(avif_with(b"")))


def avif_with(exif: bytes) -> bytes:
    """Pillow writes EXIF as it is given, unless it turns."""
    return saved(PICTURE, "AVIF", speed=10, exif=exif)


@pytest.mark.filterwarnings("ignore:Tag data larger than file")
def test_claim_of_a_tag_of_a_tiff_spoils_nothing() -> None:
    plain = odd_images.tags(16, 16)
    pixels = zlib.compress(bytes(range(256)))
    expected = crop(tiff_with(plain, pixels))
    for entry in CLAIMS.values():
        assert np.array_equal(crop(tiff_with([*plain, entry], pixels)), expected)


def tiff_with(entries: list[odd_images.Tag], pixels: bytes) -> bytes:
    placed = {tag[0]: tag for tag in entries}
    placed[273], placed[279] = (273, 4, 1, 14 + 12 * len(placed)), (279, 4, 1, len(pixels))
    return odd_images.tiff(list(placed.values()), pixels)


def test_real_values_beyond_any_limit_are_not_the_pixels_matter() -> None:
    """Of EXIF that is there, every byte of it, no more is read than how the camera was held."""
    many = struct.pack("<II", 72, 1) * 7_000
    exif = directory(TURNED, (282, RATIONAL, 7_000, 38)) + many
    assert np.array_equal(crop(in_jpeg(exif)), np.rot90(crop(JPEG), -1))
    more = struct.pack("<II", 72, 1) * 200_000
    assert np.array_equal(
        crop(avif_with(directory((282, RATIONAL, 200_000, 26)) + more)), crop(avif_with(b""))
    )
    entries = [*odd_images.tags(16, 16), (282, RATIONAL, 200_000, more)]
    pixels = zlib.compress(bytes(range(256)))
    assert np.array_equal(crop(tiff_with(entries, pixels)), crop(tiff_with(odd_images.tags(16, 16), pixels)))


def test_long_tags_and_other_directories_are_kept_from_the_decoder() -> None:
    values = struct.pack("<II", 72, 1) * 2_000
    entries = [*odd_images.tags(16, 16), (34_665, LONG, 1, 8), (50_000, RATIONAL, 2_000, values)]
    original = tiff_with(entries, zlib.compress(bytes(range(256))))
    for data, long in ((original, 2_000), (bare(original).data, 1)):
        with Image.open(io.BytesIO(data)) as image:
            assert isinstance(image, TiffImagePlugin.TiffImageFile)
            assert np.size(np.array(image.tag_v2[50_000], float)) == long
            assert (34_665 in image.tag_v2) == (data is original)
    avif = avif_with(directory((282, RATIONAL, 2_000, 26)) + values)
    assert struct.pack("<HHI", 282, RATIONAL, 1) in bare(avif).data


def test_transparency_of_a_gif_comes_onto_white() -> None:
    clear = Image.new("P", (16, 16), 1)
    clear.putpalette([0, 0, 0, 255, 0, 0])
    assert (crop(saved(clear, "GIF", transparency=1)) == 255).all()


def texts() -> Iterator[tuple[str, bytes]]:
    long = b"a long text " * 200_000
    yield "zTXt", png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(long))
    yield "tEXt", png_chunk(b"tEXt", b"Comment\0" + long)
    yield "iTXt", png_chunk(b"iTXt", b"Comment\0\1\0en\0\0" + zlib.compress(long))
    yield "all", b"".join(png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(long)) for _ in range(60))
    yield "profile", png_chunk(b"iCCP", b"a\0\0" + zlib.compress(long))
    yield "garbage", png_chunk(b"iTXt", b"\xff" * 40)
    yield "wrong sum", png_chunk(b"tEXt", b"Comment\0x")[:-1] + b"\0"


def test_text_of_a_png_however_long_spoils_no_pixels() -> None:
    for name, chunk in texts():
        assert np.array_equal(crop(in_png(chunk)), crop(PNG)), name


def test_comment_of_a_jpeg_or_gif_however_long_spoils_no_pixels() -> None:
    comments = segment(0xFE, b"c" * 60_000) * 40 + segment(0xE2, b"ICC_PROFILE\0\1\1" + b"p" * 100) * 20
    assert np.array_equal(crop(JPEG[:2] + comments * 10 + JPEG[2:]), crop(JPEG))
    blocks = b"\x21\xfe" + (b"\xff" + b"c" * 255) * 10_000 + b"\0"
    start = 13 + 3 * 2 ** ((GIF[10] & 7) + 1)
    assert GIF[10] & 0x80, "it has a palette"
    assert np.array_equal(crop(GIF[:start] + blocks + GIF[start:]), crop(GIF))


def test_segment_that_is_cut_off_or_shorter_than_its_length_is_the_last() -> None:
    for length in (0, 1, 7, 0xFFFF):
        data = b"\xff\xd8" + segment(0xE0, b"x") + b"\xff\xe1" + struct.pack(">H", length) + b"\xff\xfe\0\2"
        assert list(jpeg_segments(data)) == [Segment(0xE0, 2, 7, b"x"), Segment(0xE1, 7, len(data), b"")]


def test_jpegs_that_libjpeg_is_not_built_for_are_named() -> None:
    def frame(marker: int, bits: int = 8, components: int = 3) -> bytes:
        return b"\xff\xd8" + segment(marker, bytes([bits, 0, 1, 0, 1, components]) + bytes(3 * components))

    for data, kind in (
        (frame(0xC0), None),
        (frame(0xC2, components=1), None),
        (frame(0xC0, components=4), None),
        (frame(0xC1, bits=12), "a JPEG of 12 bits a sample"),
        (frame(0xC0, components=2), "a JPEG of 2 components"),
        (frame(0xC5), "a hierarchical JPEG"),
        (frame(0xF7), "JPEG-LS"),
        (b"\xff\xd8" + segment(0xC4, b"\x0c12345"), None),
        (b"\xff\xd8" + segment(0xC0, b"\x0c1234"), None),
    ):
        assert odd_jpeg(data) == kind


def test_every_kind_of_frame_of_a_jpeg_is_judged_by_its_number() -> None:
    """ISO 10918-1, table B.1."""
    hierarchical = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF}
    others = {0xC4, 0xC8, 0xCC}
    for marker in range(0xC0, 0xD0):
        for bits, components in ((8, 0), (8, 1), (8, 2), (8, 3), (8, 4), (8, 5), (7, 1), (9, 1)):
            data = b"\xff\xd8" + segment(marker, bytes([bits, 0, 1, 0, 1, components]) + bytes(3))
            kind = "a hierarchical JPEG" if marker in hierarchical else None
            if components not in {1, 3, 4}:
                kind = f"a JPEG of {components} components"
            if bits != 8:
                kind = f"a JPEG of {bits} bits a sample"
            assert odd_jpeg(data) == (None if marker in others else kind), (marker, bits, components)
    assert odd_jpeg(b"\xff\xd8" + segment(0xF6, bytes(9))) is None


def test_markers_without_a_length_and_filling_are_passed_by() -> None:
    alone = {0x00, 0x01, *range(0xD0, 0xD9)}
    for marker in range(0xFF):
        between = bytes([0x12, 0xFF, 0xFF, marker])
        data = b"\xff\xd8" + segment(0xE2, b"x") + between + segment(0xE3, b"y")
        segments = list(jpeg_segments(data))
        assert segments[0] == Segment(0xE2, 2, 7, b"x")
        if marker in alone:
            assert segments[1:] == [Segment(0xE3, 11, 16, b"y")], marker
        else:
            assert segments[1:] == [Segment(marker, 9, len(data), b"")], marker


def test_scan_of_a_jpeg_is_left_with_all_that_follows_it() -> None:
    for marker in (0xDA, 0xD9):
        end = segment(marker, b"xyz") + b"\xff\xfe\0\2 and so on"
        assert bare(b"\xff\xd8" + segment(0xFE, b"c") + end).data == b"\xff\xd8" + end


def test_of_a_jpegs_segments_those_of_applications_and_comments_are_left_out() -> None:
    for marker in set(range(0x02, 0xFF)) - {*range(0xD0, 0xDB), 0xD8}:
        is_dropped = marker in range(0xE0, 0xF0) or marker == 0xFE
        for body in (b"", b"what it says", b"JFIF\0 and", b"Adobe and", b"JFI", b"Exif\0\0"):
            is_kept = not is_dropped or (marker in {0xE0, 0xEE} and body[:5] in {b"JFIF\0", b"Adobe"})
            comment, end = segment(marker, body), segment(0xDA, b"") + b"pixels"
            left = bare(b"\xff\xd8" + comment + end)
            assert left.data == b"\xff\xd8" + (comment if is_kept else b"") + end, (marker, body)
            assert left.is_lossless_jpeg == (marker == 0xC3)


def test_decoder_is_given_the_pixels_of_every_sound_image() -> None:
    """What is left decodes to what the whole does, to the bit."""
    for name, data in IMAGES.items():
        with Image.open(io.BytesIO(data)) as whole, Image.open(io.BytesIO(bare(data).data)) as rest:
            assert (rest.mode, rest.size, rest.tobytes()) == (whole.mode, whole.size, whole.tobytes()), name


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def test_orientation_is_found_wherever_it_is_told() -> None:
    turned, plain = np.rot90(crop(PNG), -1), np.rot90(crop(JPEG), -1)
    exif = directory(TURNED)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    lines = f"\nexif\n{len(exif) + 6:8d}\n{(b'Exif' + bytes(2) + exif).hex()}\n"
    profile = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(lines.encode()))
    end = PNG.index(b"IEND") - 4
    for name, data in {
        "eXIf": in_png(png_chunk(b"eXIf", exif)),
        "eXIf after the pixels": PNG[:end] + png_chunk(b"eXIf", exif) + PNG[end:],
        "XMP": in_png(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
        "packed XMP": saved(PICTURE, "PNG", pnginfo=info),
        "profile": in_png(profile),
    }.items():
        assert np.array_equal(crop(data), turned), name
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    assert np.array_equal(crop(JPEG[:2] + xmp + JPEG[2:]), plain)
    assert np.array_equal(crop(in_jpeg(directory((274, SHORT, 1, 6 << 16), order=">"))), plain)
    parts = [segment(0xE1, b"Exif\0\0" + part) for part in (exif[:15], exif[15:])]
    assert np.array_equal(crop(b"".join([JPEG[:2], *parts, JPEG[2:]])), plain)
    webp = [saved(PICTURE, "WEBP", lossless=True, xmp=xmp_packet) for xmp_packet in (b"", XMP)]
    assert np.array_equal(crop(webp[1]), np.rot90(crop(webp[0]), -1))


@pytest.mark.parametrize(
    ("exif", "xmp", "expected"),
    [
        (directory(TURNED), b"", 6),
        (directory((274, SHORT, 1, 1)), XMP, 1),
        (directory((270, SHORT, 1, 1)), XMP, 6),
        (directory((274, BYTE, 1, 6)), b"", 6),
        (directory((274, LONG, 1, 6)), b"", 6),
        (directory((274, BYTE, 1, 6 << 24), order=">"), b"", 6),
        (directory((274, LONG, 1, 6), order=">"), b"", 6),
        (directory((274, ASCII, 1, 6)), b"", 1),
        (directory((274, RATIONAL, 1, 6)), b"", 1),
        (directory((274, SHORT, 1, 0)), b"", 1),
        (directory((275, SHORT, 1, 8), TURNED, (274, SHORT, 1, 3)), b"", 6),
        (directory(*[OTHER] * 999, TURNED), b"", 6),
        (directory(*[OTHER] * 1_000, TURNED), b"", 1),
        (directory((274, SHORT, 1, 9)), b"", 1),
        (directory((274, SHORT, 2, 6)), b"", 1),
        (directory(TURNED)[:19], b"", 1),
        (b"II*\0\xff\xff\xff\xff", b"", 1),
        (b"garbage", b"tiff:Orientation", 1),
        (b"", b"<tiff:Orientation>3</tiff:Orientation>", 3),
    ],
)
def test_orientation_is_read_where_it_makes_sense(exif: bytes, xmp: bytes, expected: int) -> None:
    assert orientation_in(exif, xmp) == expected
    assert orientation_in(b"Exif\0\0" + exif, xmp) == expected
