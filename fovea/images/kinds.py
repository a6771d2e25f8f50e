"""What the bytes are that are not read as an image: told from how they begin, for whoever sent them."""

from typing import Final

from PIL import Image

from fovea.errors import ImageInvalid
from fovea.images import formats, metadata, tiff

_BRANDS: Final = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"jpeg", b"jpgs", b"avci", b"avcs", b"j2ki", b"vvic", b"mif1", b"msf1"), "HEIF"),
    **dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"M4V ", b"3gp4", b"3gp5"), "an MP4 video"),
    b"qt  ": "a QuickTime video",
    b"crx ": "Canon's raw format CR3",
}
"""The brand of an ISO base media file (ISO/IEC 14496-12, and 23008-12 for HEIF) -> what it is."""
_GENERAL: Final = {b"mif1", b"msf1"}
"""Brands beside which the compatible ones say more."""

_BEGINNINGS: Final = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"FUJIFILMCCD-RAW", "Fujifilm's raw format RAF"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"P4", "a portable anymap"),
    (b"P5", "a portable anymap"),
    (b"P6", "a portable anymap"),
    (b"DDS ", "DDS"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\0\x05\x16\x07", "what macOS notes about another file (AppleDouble)"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose file was not fetched"),
)
_TEXTS: Final = ((b"<svg", "SVG"), (b"<html", "a page of HTML"), (b"<!doctype html", "a page of HTML"))

_DECODED_BY: Final = {
    "HEIC": "pillow-heif (the extra `formats`)",
    "HEIF": "pillow-heif (the extra `formats`)",
    "JPEG XL": "pillow-jxl-plugin (the extra `formats`)",
    "AVIF": "a Pillow that was built with libavif",
}
_PILLOWS_NAMES: Final = {"HEIC": "HEIF", "JPEG XL": "JXL"}


def kind_of(data: bytes) -> str | None:
    """HEIC, PDF, a page of HTML ...: of what begins like it. None for all else, images that are read too."""
    if data[4:8] == b"ftyp":
        return _kind_of_media(data)
    for start, kind in _BEGINNINGS:
        if data.startswith(start):
            return kind
    beginning = data[:1024].lower()
    return next((kind for text, kind in _TEXTS if text in beginning), None)


TELLING_BYTES: Final = 64
"""So many of a file's first bytes tell whether it is an image."""


def begins_as_image(start: bytes) -> bool:
    """Whether a file's first TELLING_BYTES are of a format that is read, or would be with its decoder."""
    Image.init()
    accepts = (Image.OPEN[name][1] for name in formats.readable())
    return kind_of(start) in _DECODED_BY or any(
        accept is not None and accept(start) is True for accept in accepts
    )


def refusal(data: bytes) -> ImageInvalid:
    """Why bytes that no decoder took for an image are not read."""
    kind = kind_of(data)
    if kind in _DECODED_BY and _PILLOWS_NAMES.get(kind, kind) not in formats.readable():
        return ImageInvalid("undecodable", f"the image is {kind}, which needs {_DECODED_BY[kind]} here")
    if kind in _DECODED_BY:
        return ImageInvalid("undecodable", f"the {kind} image is damaged, or of a kind that is not read")
    if (lacking := _lacking(data)) is not None:
        return ImageInvalid("undecodable", f"the image is {lacking}, which Pillow cannot read")
    what = f": it is {kind}" if kind else ""
    return ImageInvalid("not_an_image", f"the bytes are not an image in one of {formats.names()}{what}")


def damaged(data: bytes, error: Exception, format_name: str | None = None) -> ImageInvalid:
    """What a decoder raised at an image of this format, or, without one, at its header."""
    why = " ".join(str(error).split())
    if data.startswith(tiff.STARTS) and (kind := tiff.describe(data)) is not None:
        text = f"the image is {kind}, which is damaged, or of a kind that Pillow cannot read: {why}"
    elif kind_of(data) == "JPEG XL":
        text = "the JPEG XL image is damaged"  # its decoder says how to build a decoder
    else:
        text = (
            f"the {format_name} image is damaged: {why}"
            if format_name
            else f"the image's header is damaged: {why}"
        )
    return ImageInvalid("undecodable", text)


def _kind_of_media(data: bytes) -> str | None:
    length = int.from_bytes(data[:4])
    brands = [data[at : at + 4] for at in (8, *range(16, min(length, len(data), 1024), 4))]
    telling = [brand for brand in brands if brand in _BRANDS and brand not in _GENERAL]
    first = brands[0] if brands[0] not in _GENERAL else (telling or brands)[0]
    return _BRANDS.get(first, "a video, or another ISO media file")


def _lacking(data: bytes) -> str | None:
    """A sound kind of JPEG or TIFF that Pillow has no code for."""
    if data.startswith(metadata.JPEG):
        return metadata.odd_jpeg(data)
    return tiff.describe(data) if data.startswith(tiff.STARTS) else None
