"""HEIC, AVIF and JPEG XL: upright, in 8 bits, bounded before decoding, and named where they are not read."""

import contextlib
import io
import random
import re
import struct
from collections.abc import Callable
from importlib.metadata import distribution, metadata
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import AvifImagePlugin, Image
from pillow_jxl import JpegXLImagePlugin

from fovea.client.request import encoded
from fovea.errors import ImageInvalid
from fovea.images import formats, jxl
from fovea.images.kinds import TELLING_BYTES, begins_as_image, kind_of
from fovea.images.names import is_image_name
from fovea.images.preprocess import Pixels, decode_image, open_image
from fovea.images.spec import PreprocessSpec
from tests.fovea.images.turned import STORED
from tests.markdown import Page
from tests.odd_images import PICTURE, saved
from trainer.images.traits import traits_of

SPEC = PreprocessSpec(size=32, resize=36)
assert formats.readable()[-3:] == ("AVIF", "HEIF", "JXL"), "which registers their plugins"


def quadrants() -> Image.Image:
    """Red, green / blue, white."""
    image = Image.new("RGB", (120, 90), "white")
    for colour, place in (("red", (0, 0)), ((0, 255, 0), (60, 0)), ("blue", (0, 45))):
        image.paste(colour, (*place, place[0] + 60, place[1] + 45))
    return image


def corners(crop: Pixels) -> list[tuple[int, ...]]:
    """Each channel 0 or 1."""
    return [tuple(int(level > 127) for level in crop[y, x]) for y in (6, -7) for x in (6, -7)]


UPRIGHT = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]


def held(orientation: int) -> tuple[Image.Image, bytes]:
    """The quadrants as stored, and the EXIF that says so."""
    exif, turn = Image.Exif(), STORED[orientation]
    exif[274] = orientation
    return quadrants() if turn is None else quadrants().transpose(turn), exif.tobytes()


def recompressed(image: Image.Image, exif: bytes, folder: Path) -> bytes:
    """A JPEG made into JPEG XL, which may be undone; its orientation is in the codestream and in EXIF."""
    file = folder / "photo.jpg"
    image.save(file, exif=exif, quality=95)
    with Image.open(file) as photo:
        return saved_as_it_is(photo, "JXL", lossless_jpeg=True)


def saved_as_it_is(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("orientation", STORED)
def test_photo_is_upright_however_it_was_held(orientation: int, tmp_path: Path) -> None:
    """By each format's own rule, once: as a file, in the audit, and where the client sends an open one."""
    stored, exif = held(orientation)
    for name, data in {
        "HEIC": saved(stored, "HEIF", exif=exif),
        "AVIF": saved(stored, "AVIF", exif=exif, speed=10),
        "JPEG XL": recompressed(stored, exif, tmp_path),
        "JPEG": saved(stored, "JPEG", exif=exif),
        "TIFF": saved(stored, "TIFF", exif=exif),
    }.items():
        assert corners(decode_image(data, SPEC)) == UPRIGHT, name
        if name != "JPEG XL":
            assert ("rotated" in traits_of(open_image(data))) == (orientation > 1), name
        assert corners(decode_image(sent_open(data), SPEC)) == UPRIGHT, name


def sent_open(data: bytes) -> bytes:
    """What the client makes of an image that its caller opened."""
    with Image.open(io.BytesIO(data)) as image:
        return encoded(image)


def test_metadata_of_a_heic_turns_nothing_by_itself() -> None:
    """ISO/IEC 23008-12: it is informative, `irot` and `imir` are what counts."""
    exif = [struct.pack(">HHIHH", 274, 3, 1, value, 0) for value in (1, 6)]
    xmp = [b'<rdf:Description tiff:Orientation="%d"/>' % value for value in (1, 6)]
    for data, (upright, turned) in (
        (saved(quadrants(), "HEIF", exif=held(1)[1]), exif),
        (saved(quadrants(), "HEIF", xmp=xmp[0]), xmp),
    ):
        assert data.count(upright) == 1
        changed = data.replace(upright, turned)
        assert corners(decode_image(changed, SPEC)) == UPRIGHT
        assert corners(decode_image(sent_open(changed), SPEC)) == UPRIGHT


def test_exif_of_a_jpeg_xl_turns_nothing_by_itself() -> None:
    """ISO/IEC 18181-2: the codestream says how the image was held."""
    data = saved(quadrants(), "JXL", lossless=True, exif=held(6)[1])
    assert corners(decode_image(data, SPEC)) == UPRIGHT
    assert corners(decode_image(sent_open(data), SPEC)) == UPRIGHT


def test_avif_of_a_general_brand_is_read_as_avif() -> None:
    data = saved(quadrants(), "AVIF", speed=10)
    general = data[:8] + b"mif1" + data[12:]
    assert corners(decode_image(general, SPEC)) == UPRIGHT
    assert kind_of(general) == "AVIF"


def test_file_of_several_images_gives_its_primary_one() -> None:
    heif: Any = pillow_heif.HeifFile()  # type: ignore[no-untyped-call]
    for image in (Image.new("RGB", (90, 90)), quadrants(), Image.new("RGB", (90, 90))):
        heif.add_from_pillow(image)
    data = io.BytesIO()
    heif.save(data, primary_index=1)
    assert corners(decode_image(data.getvalue(), SPEC)) == UPRIGHT


RAMP = np.tile(np.linspace(0, 1, 64), (64, 1))


def test_deep_and_transparent_images_come_out_as_bright_as_they_are() -> None:
    sixteen = Image.fromarray((RAMP * 65_535).astype(np.uint16))
    clear = Image.merge("RGBA", [*Image.new("RGB", (64, 64), "red").split(), Image.new("L", (64, 64), 0)])
    spec = PreprocessSpec(size=64, resize=64)
    for name, data in {
        "grey float JPEG XL": saved(Image.fromarray(RAMP.astype(np.float32)), "JXL", lossless=True),
        "grey 16-bit JPEG XL": saved(sixteen, "JXL", lossless=True),
        "grey 10-bit HEIC": saved(sixteen, "HEIF", quality=-1),
    }.items():
        assert np.abs(decode_image(data, spec)[32, :, 1] - RAMP[32] * 255).max() <= 2, name
    for kind in ("HEIF", "JXL", "AVIF"):
        assert (decode_image(saved(clear, kind), spec) >= 250).all(), kind


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JXL"])
def test_limits_are_asked_before_anything_is_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(quadrants(), kind)
    assert decode_image(data, SPEC, max_pixels=120 * 90).shape == (32, 32, 3)

    def decoded(*_: object, **__: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(JpegXLImagePlugin, "Decoder", decoded)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    with pytest.raises(ImageInvalid, match="120 x 90 pixels, more than 10799") as caught:
        decode_image(data, SPEC, max_pixels=120 * 90 - 1)
    assert caught.value.reason == "too_many_pixels"


def test_one_thread_decodes_one_image() -> None:
    assert pillow_heif.options.DECODE_THREADS == 1
    assert not pillow_heif.options.THUMBNAILS
    assert (AvifImagePlugin.DEFAULT_MAX_THREADS, JpegXLImagePlugin.DECODE_THREADS) == (1, 1)


SIZES = (
    (1, 1),
    (8, 8),
    (256, 256),
    (264, 8),
    (300, 200),
    (640, 480),
    (192, 108),
    (513, 700),
    (600, 2),
    (80, 64),
)


def test_header_of_a_jpeg_xl_tells_its_size() -> None:
    for width, height in (*SIZES, (400, 300), (600, 500), (200, 100), (120, 100)):
        image = PICTURE.resize((width, height))
        for container in (False, True):
            data = saved(image, "JXL", effort=1, use_container=container)
            assert jxl.read_header(data) == jxl.Header(width, height, is_animated=False)
            with Image.open(io.BytesIO(jxl.bare(data))) as bare:
                assert bare.size == (width, height)


class Writer:
    """Bits of a codestream's header, the lowest first."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, value: int, bits: int) -> "Writer":
        self.text += f"{value:0{bits}b}"[::-1]
        return self

    def data(self) -> bytes:
        return (
            jxl.CODESTREAM + int(self.text[::-1], 2).to_bytes(-(-len(self.text) // 8), "little") + bytes(40)
        )


def large(width: int, height: int) -> Writer:
    """Of 30 bits a side, and no ratio."""
    header = Writer().write(0, 1).write(3, 2).write(height - 1, 30).write(0, 3)
    return header.write(3, 2).write(width - 1, 30)


def test_header_is_read_as_the_standard_has_it() -> None:
    usual = large(1_000_000, 70_000).write(1, 1)
    assert jxl.read_header(usual.data()) == jxl.Header(1_000_000, 70_000, is_animated=False)
    for ratio, width in ((1, 160), (2, 192), (3, 213), (4, 240), (5, 284), (6, 200), (7, 320)):
        header = Writer().write(1, 1).write(19, 5).write(ratio, 3).write(1, 1)
        assert jxl.read_header(header.data()) == jxl.Header(width, 160, is_animated=False)
    extra = large(30, 20).write(0, 1).write(1, 1).write(5, 3)
    for animated in (0, 1):
        plain = Writer()
        plain.text = extra.text
        plain.write(0, 1).write(0, 1).write(animated, 1)
        assert jxl.read_header(plain.data()) == jxl.Header(30, 20, is_animated=bool(animated))
        resized = Writer()  # at another size, and with a preview of 8 x 16 in eights
        resized.text = extra.text
        resized.write(1, 1).write(1, 1).write(3, 5).write(7, 3)
        resized.write(1, 1).write(1, 1).write(2, 2).write(0, 5).write(7, 3)
        resized.write(animated, 1)
        assert jxl.read_header(resized.data()) == jxl.Header(30, 20, is_animated=bool(animated))


def test_preview_of_any_size_is_stepped_over() -> None:
    for is_in_eights, bits_of_side in ((1, (0, 0, 5, 9)), (0, (6, 8, 10, 12))):
        for choice, bits in enumerate(bits_of_side):
            for animated in (0, 1):
                header = large(30, 20).write(0, 1).write(1, 1).write(5, 3).write(0, 1)
                header.write(1, 1).write(is_in_eights, 1).write(choice, 2)
                header.write(0, bits) if bits else None
                header.write(0, 3).write(choice, 2)
                header.write(0, bits) if bits else None
                header.write(animated, 1)
                assert jxl.read_header(header.data()).is_animated == bool(animated), (is_in_eights, choice)


def test_animated_jpeg_xl_is_refused_by_name() -> None:
    """Its decoder would decode every frame, and give the last."""
    animated = large(30, 20).write(0, 1).write(1, 1).write(0, 3).write(0, 2).write(1, 1)
    with pytest.raises(ImageInvalid, match="an animated JPEG XL, which is not read"):
        decode_image(animated.data(), SPEC)


def test_codestream_in_parts_and_boxes_of_all_kinds_are_read() -> None:
    stream = saved(quadrants(), "JXL", effort=1)
    assert stream.startswith(jxl.CODESTREAM)

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", len(body) + 8, kind) + body

    start = jxl.CONTAINER + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    texts = box(b"xml ", b"<x/>") + box(b"brob", b"Exif" + b"\xff" * 40) + box(b"Exif", b"\xff" * 40)
    parts = box(b"jxlp", bytes(4) + stream[:3]) + texts + box(b"jxlp", b"\x80\0\0\1" + stream[3:])
    long = struct.pack(">I4sQ", 1, b"jxlc", 16 + len(stream)) + stream
    for body in (parts, texts + box(b"jxlc", stream), long + texts, struct.pack(">I4s", 0, b"jxlc") + stream):
        assert corners(decode_image(start + body, SPEC)) == UPRIGHT
        assert jxl.read_header(start + body) == jxl.Header(120, 90, is_animated=False)
    for cut in range(len(start) + 4):
        with pytest.raises(ImageInvalid):
            decode_image((start + parts)[:cut] or b"\xff\x0a", SPEC)


def test_ten_thousand_boxes_are_gone_through_and_no_more() -> None:
    stream = saved(quadrants(), "JXL", effort=1)
    empty, last = struct.pack(">I4s", 8, b"free"), struct.pack(">I4s", 8 + len(stream), b"jxlc") + stream
    assert jxl.bare(jxl.CONTAINER + empty * 9_997 + last) == jxl.CONTAINER + last
    with pytest.raises(ImageInvalid, match="the image has more than 10000 boxes"):
        jxl.bare(jxl.CONTAINER + empty * 9_999 + last)


def test_damaged_files_end_in_pixels_or_invalid_image() -> None:
    chance = random.Random(6)
    whole = [saved(PICTURE, kind) for kind in ("HEIF", "JXL", "AVIF")]
    whole += [saved(PICTURE.convert("RGBA"), "HEIF"), saved(PICTURE, "JXL", use_container=True)]
    damages: tuple[Callable[[bytearray, int], bytearray], ...] = (
        lambda data, at: data[:at],
        lambda data, at: data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :],
        lambda data, at: data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :],
    )
    for number in range(400):
        data = bytearray(whole[number % len(whole)])
        at = chance.randrange(len(data) if number % 2 else 100)
        with contextlib.suppress(ImageInvalid):
            assert decode_image(bytes(damages[number % 3](data, at)), SPEC).shape == (32, 32, 3)


def test_text_of_a_refusal_is_one_line() -> None:
    for kind in ("HEIF", "AVIF", "JXL"):
        with pytest.raises(ImageInvalid) as caught:
            decode_image(saved(quadrants(), kind)[:300], SPEC)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        ("HEIF", "HEIC", r"pillow-heif \(the extra `formats`\)"),
        ("JXL", "JPEG XL", r"pillow-jxl-plugin \(the extra `formats`\)"),
        ("AVIF", "AVIF", "a Pillow that was built with libavif"),
    ],
)
def test_format_without_its_decoder_is_named_with_what_to_install(
    kind: str, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(quadrants(), kind)
    assert begins_as_image(data[:TELLING_BYTES])
    without = tuple(known for known in formats.readable() if known != kind)
    monkeypatch.setattr("fovea.images.preprocess.readable", lambda: without)
    monkeypatch.setattr(formats, "readable", lambda: without)
    with pytest.raises(ImageInvalid, match=f"^the image is {name}, which needs {package} here$") as caught:
        decode_image(data, SPEC)
    assert caught.value.reason == "undecodable"
    assert begins_as_image(data[:TELLING_BYTES])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html><html>", "a page of HTML"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0qt  \0\0\0\0", "a QuickTime video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "Canon's raw format CR3"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS, whose file was not fetched"),
    ],
)
def test_other_files_are_named(data: bytes, kind: str) -> None:
    with pytest.raises(ImageInvalid, match=f"JPEG XL: it is {kind}$") as caught:
        decode_image(data, SPEC)
    assert caught.value.reason == "not_an_image"
    assert not begins_as_image(data)


def test_decoders_and_their_versions_are_known() -> None:
    path = formats.image_path()
    assert path["libheif"] == pillow_heif.libheif_version()
    assert path["heif_decoders"].startswith("libde265")
    assert {"revision", "pillow", "libjpeg_turbo", "pillow_jxl", "avif"} <= path.keys()
    changed = {**path, "libheif": "1.0", "new": "1"}
    assert formats.differences(path, changed) == f"libheif 1.0, not {path['libheif']}, new 1, not none"
    assert formats.differences(path, path) == ""


def test_files_are_told_by_their_endings() -> None:
    for ending in ("heic", "HEIC", "heif", "hif", "heics", "heifs", "avif", "jxl"):
        assert is_image_name(f"photos/a.{ending}")


def test_licences_of_the_decoders_stand_in_the_docs() -> None:
    page = Page.read(Path("docs/images.md")).section("Licences").text
    assert metadata("pillow-jxl-plugin")["License-Expression"] in page
    notice = distribution("pillow-heif").read_text("licenses/LICENSES_bundled.txt") or ""
    bundled = re.findall(r"^Name: (\S+)\nLicense: (L?GPL)v(\d)", notice, re.MULTILINE)
    assert bundled
    for library, licence, version in bundled:
        assert all(text in page for text in (library, f"{licence}-{version}.0")), library
