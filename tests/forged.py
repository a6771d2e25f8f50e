"""Image files that were never images: structures that lie, noise, and other formats' files."""

import random
import struct
from collections.abc import Iterator

from tests.odd_images import PICTURE, bmp_rle, png, png_chunk, saved, tags, tiff

Made = Iterator[tuple[str, bytes]]
"""Name and data of one file after the other."""


def lying_structures() -> Made:
    """Lengths, counts and values that are not so."""
    good = tags(16, 16, compression=1)
    for place, (tag, kind, count, value) in enumerate(good):
        for entry in (
            (tag, kind, 0, value),
            (tag, kind, 2, value),
            (tag, kind, count, 0),
            (tag, kind, count, 3),
        ):
            yield f"tiff {entry}", tiff([*good[:place], entry, *good[place + 1 :]])
    for length in (0, 1, 12, 14):
        header = struct.pack(">I", length) + b"IHDR" + struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
        yield f"png header of {length}", b"\x89PNG\r\n\x1a\n" + header + bytes(40)
    for depth in (0, 1, 3, 16, 255):
        for colour in range(8):
            yield f"png {depth} bit colour {colour}", png(8, 8, bytes(200), depth=depth, colour=colour)
    for name in (
        b"iCCP",
        b"tRNS",
        b"PLTE",
        b"gAMA",
        b"pHYs",
        b"fcTL",
        b"acTL",
        b"fdAT",
        b"eXIf",
        b"iTXt",
        b"IHDR",
        b"IEND",
    ):
        for body in (b"", b"\0", b"a\0\0garbage", b"\xff" * 40):
            yield f"png {name.decode()} {len(body)}", png(8, 8, bytes(200), before=png_chunk(name, body))


def foreign() -> Made:
    """Of other formats, which are not read."""
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="8" height="8"/></svg>'
    yield "pdf", b"%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n%%EOF"
    yield "psd", b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 16, 16, 8, 3) + bytes(14)
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n"
    yield "tga", b"\0\0\x02" + bytes(9) + struct.pack("<HHBB", 8, 8, 24, 0) + bytes(192)
    yield "heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    yield "jpeg 2000", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64)
    yield "ppm", b"P6 8 8 255 " + bytes(192)
    yield "wmf", b"\xd7\xcd\xc6\x9a" + bytes(64)
    for kind in ("ICO", "PCX", "TGA", "PPM", "SGI", "DIB", "EPS", "JPEG2000", "DDS", "ICNS"):
        yield f"sound {kind}", saved(PICTURE, kind)


MAGICS = {
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
    "jpeg exif": b"\xff\xd8\xff\xe1\x02\0Exif\0\0II*\0\x08\0\0\0",
    "jpeg frame": b"\xff\xd8\xff\xc0\0\x11\x08\0\x10\0\x10\x03\x01\x22\0\x02\x11\x01\x03\x11\x01",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "png text": png(8, 8, b"")[:33] + b"\0\0\0\x20zTXta\0\0",
    "gif": b"GIF89a\x10\0\x10\0\xf7\0\0",
    "gif 87": b"GIF87a\x10\0\x10\0\0\0\0,\0\0\0\0\x10\0\x10\0\0\x08",
    "bmp": b"BM\x00\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\0\0\0\x10\0\0\0\x01\0",
    "bmp rle": bmp_rle(16, 16, b""),
    "webp vp8": b"RIFF\0\x10\0\0WEBPVP8 \0\x0f\0\0",
    "webp vp8l": b"RIFF\0\x10\0\0WEBPVP8L\0\x0f\0\0\x2f",
    "webp vp8x": b"RIFF\0\x10\0\0WEBPVP8X\x0a\0\0\0\x3f\0\0\0\x0f\0\0\x0f\0\0",
    "tiff": b"II*\0\x08\0\0\0\x10\0",
    "tiff big end": b"MM\0*\0\0\0\x08\0\x10",
    "big tiff": b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0",
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\x01\0meta",
}


def random_bodies(chance: random.Random) -> Made:
    for name, magic in MAGICS.items():
        yield f"{name} alone", magic
        for number in range(40):
            yield f"{name} and noise {number}", magic + chance.randbytes(chance.choice((4, 50, 400, 4000)))
    for size in (1, 2, 3, 4, 8, 16, 100, 1000, 10_000):
        yield f"{size} zeros", bytes(size)
        yield f"{size} ones", b"\xff" * size
        yield f"{size} of noise", chance.randbytes(size)
    yield "nothing", b""
