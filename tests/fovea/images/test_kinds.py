"""What is said of bytes that are no image that is read, and which begin as one that is."""

import struct

from fovea.images import formats
from fovea.images.kinds import TELLING_BYTES, begins_as_image, damaged, kind_of
from tests import odd_images
from tests.odd_images import PICTURE, saved


def test_damage_is_told_in_one_line_with_the_format_where_it_is_known() -> None:
    error = OSError("broken data\n  stream")
    assert str(damaged(b"", error, "PNG")) == "the PNG image is damaged: broken data stream"
    assert str(damaged(b"", error)) == "the image's header is damaged: broken data stream"
    assert str(damaged(b"\xff\x0a", error)) == "the JPEG XL image is damaged"
    assert damaged(b"", error).reason == "undecodable"


def test_every_image_that_is_read_begins_as_one_and_nothing_else_does() -> None:
    assert {"HEIF", "JXL"} <= set(formats.readable()), "which registers their plugins"
    images = odd_images.collection() | {kind: saved(PICTURE, kind) for kind in ("HEIF", "JXL")}
    images["jxl in boxes"] = saved(PICTURE, "JXL", use_container=True)
    for name, data in images.items():
        assert begins_as_image(data[:TELLING_BYTES]), name
    others = [saved(PICTURE, kind) for kind in ("PPM", "ICO", "TGA", "PDF", "JPEG2000")]
    for start in (*others, b"", b"GIF", b"hello", b"<svg", b"\0\0\0\x18ftypqt  ", bytes(TELLING_BYTES)):
        assert not begins_as_image(start[:TELLING_BYTES]), start


def test_files_are_named_by_their_beginnings() -> None:
    for start, kind in (
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"\0\0\1\0", "an icon (ICO)"),
        (b"P5 1 1", "a portable anymap"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (b"\0\x05\x16\x07", "what macOS notes about another file (AppleDouble)"),
        (b'<?xml version="1.0"?>\n<SVG ', "SVG"),
        (b" " * 1020 + b"<svg", "SVG"),
        (b" " * 1021 + b"<svg", None),
        (b"\xff\xd8\xff", None),
        (b"", None),
    ):
        assert kind_of(start) == kind, start


def test_media_are_named_by_their_first_brand_or_by_one_that_says_more() -> None:
    def media(major: bytes, *compatible: bytes, minor: bytes = bytes(4), more: bytes = b"") -> bytes:
        body = b"ftyp" + major + minor + b"".join(compatible)
        return struct.pack(">I", 4 + len(body)) + body + more

    other = "a video, or another ISO media file"
    for data, kind in (
        (media(b"heic"), "HEIC"),
        (media(b"heic", b"avif"), "HEIC"),
        (media(b"mif1", b"mif1", b"heic"), "HEIC"),
        (media(b"mif1", b"msf1", b"MiHB", b"avif", b"heic"), "AVIF"),
        (media(b"msf1"), "HEIF"),
        (media(b"mif1", b"MiHB"), "HEIF"),
        (media(b"mif1", b"heic", minor=b"avif"), "HEIC"),
        (media(b"mif1", b"he", b"ic"), "HEIC"),
        (media(b"mif1", b"xx", b"heic", b"xx"), "HEIF"),
        (media(b"mif1", more=b"avif"), "HEIF"),
        (media(b"mif1", *[b"miaf"] * 251, b"avif"), "AVIF"),
        (media(b"mif1", *[b"miaf"] * 252, b"avif"), "HEIF"),
        (media(b"isom", b"heic"), "an MP4 video"),
        (media(b"none", b"heic"), other),
        (b"\0\0\0\x14ftypmif1", "HEIF"),
        (b"\0\0\0\x14ftyp", other),
    ):
        assert kind_of(data) == kind, data[:64]
