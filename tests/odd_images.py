"""Image files that are unusual but sound, in every format and mode, and parts to make up others from."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

Files = dict[str, bytes]
"""Name -> data."""
Tag = tuple[int, int, int, int | bytes]
"""Number, type and count of an entry in a TIFF's directory; its value, or the bytes that it points to."""

_NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
PICTURE = Image.fromarray(_NOISE // 4 + np.linspace(0, 190, 32).astype(np.uint8)[None, :, None])
TILE = zlib.compress(bytes(range(256)))


def collection() -> Files:
    """Small files of every format that is read."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = 6, "x" * 20_000, 72.0
    modes = {mode: PICTURE.convert(mode) for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "I", "F", "YCbCr")}
    sixteen = Image.fromarray(_NOISE[..., 0].astype(np.uint16) * 257)
    cmyk = saved(modes["CMYK"], "JPEG")
    return {
        "jpeg": saved(PICTURE, "JPEG"),
        "jpeg progressive": saved(PICTURE, "JPEG", progressive=True),
        "jpeg grey": saved(modes["L"], "JPEG"),
        "jpeg cmyk": cmyk,
        "jpeg ycck": _with_adobe_transform(cmyk, 2),
        "jpeg exif": saved(PICTURE, "JPEG", exif=exif),
        "jpeg profile of garbage": saved(PICTURE, "JPEG", icc_profile=b"garbage" * 100),
        "jpeg restarts": saved(PICTURE, "JPEG", restart_marker_blocks=1),
        "mpo": saved(PICTURE, "MPO", **_frames()),
        "png": saved(PICTURE, "PNG"),
        "png 1": saved(modes["1"], "PNG"),
        "png grey alpha": saved(modes["LA"], "PNG"),
        "png palette": saved(modes["P"], "PNG", transparency=bytes(range(256))),
        "png alpha": saved(modes["RGBA"], "PNG"),
        "png 16 bit": saved(sixteen, "PNG"),
        "png exif": saved(PICTURE, "PNG", exif=exif, icc_profile=b"garbage"),
        "png animated": saved(PICTURE, "PNG", **_frames()),
        "gif": saved(modes["P"], "GIF"),
        "gif transparent": saved(modes["P"], "GIF", transparency=3, comment=b"c" * 600),
        "gif animated": saved(PICTURE, "GIF", **_frames()),
        "bmp": saved(PICTURE, "BMP"),
        "bmp palette": saved(modes["P"], "BMP"),
        "bmp 1": saved(modes["1"], "BMP"),
        "bmp rle": bmp_rle(16, 16, b"\x08\x01\0\x04abcd\x04\x02\0\0" * 16 + b"\0\x01"),
        "webp": saved(PICTURE, "WEBP"),
        "webp lossless": saved(modes["RGBA"], "WEBP", lossless=True, exif=exif),
        "webp animated": saved(PICTURE, "WEBP", **_frames()),
        "tiff": saved(PICTURE, "TIFF"),
        "tiff lzw": saved(modes["RGBA"], "TIFF", compression="tiff_lzw"),
        "tiff deflate": saved(sixteen, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": saved(PICTURE, "TIFF", compression="jpeg"),
        "tiff fax": saved(modes["1"], "TIFF", compression="group4"),
        "tiff float": saved(modes["F"], "TIFF"),
        "tiff 32 bit": saved(modes["I"], "TIFF"),
        "tiff cmyk": saved(modes["CMYK"], "TIFF", compression="packbits"),
        "tiff ycbcr": saved(modes["YCbCr"], "TIFF"),
        "tiff pages": saved(PICTURE, "TIFF", **_frames()),
        "tiff tiles": tiff(tags(16, 16, tile=(16, 16), stored=len(TILE)), TILE),
        "big tiff": saved(PICTURE, "TIFF", big_tiff=True),
        "avif": saved(PICTURE, "AVIF", speed=10),
        "avif exif": saved(PICTURE, "AVIF", speed=10, exif=exif),
    }  # fmt: skip


def _frames() -> dict[str, Any]:
    """Anew each time: Pillow keeps a format's settings with an image that it has saved."""
    return {"save_all": True, "append_images": [PICTURE.rotate(180), PICTURE.rotate(90)]}


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, before: bytes = b""
) -> bytes:
    """`pixels` are the filtered rows; `before` are chunks that come before them."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + before + body


def bmp_rle(width: int, height: int, body: bytes) -> bytes:
    palette = bytes(range(256)) * 4
    start = 54 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body


def tags(
    width: int, height: int, *, compression: int = 8, tile: tuple[int, int] | None = None, stored: int = 256
) -> list[Tag]:
    """Of a grey TIFF whose pixels follow the directory."""
    first: list[Tag] = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression)),
        *((262, 3, 1, 1), (277, 3, 1, 1)),
    ]
    if tile is None:
        return [*first, (273, 4, 1, 126), (278, 4, 1, height), (279, 4, 1, stored)]
    return [*first, (322, 4, 1, tile[0]), (323, 4, 1, tile[1]), (324, 4, 1, 134), (325, 4, 1, stored)]


def tiff(entries: list[Tag], pixels: bytes = b"\x80" * 256, following: int = 0) -> bytes:
    """Little-endian; `following` is where the next directory is said to be."""
    start = 14 + 12 * len(entries)
    directory, pointed = b"", b""
    for number, kind, count, value in entries:
        if isinstance(value, bytes):
            at, pointed = start + len(pixels) + len(pointed), pointed + value
        else:
            at = value
        directory += struct.pack("<HHII", number, kind, count, at)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return head + directory + struct.pack("<I", following) + pixels + pointed


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.copy().save(data, kind, **options)
    return data.getvalue()


def _with_adobe_transform(jpeg: bytes, transform: int) -> bytes:
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + bytes([transform]) + jpeg[at + 1 :]
