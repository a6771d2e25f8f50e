"""Small image files that ask for much: see fovea/limits.py."""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.odd_images import PICTURE, bmp_rle, png, png_chunk, saved, tags, tiff


def bombs() -> Iterator[tuple[str, bytes]]:
    yield "png of zeros", png(5_000, 5_000, bytes(5_000 * 5_001), depth=8, colour=0)
    yield "png of too much", png(100, 100, bytes(20_000_000))
    yield (
        "png text",
        png(8, 8, bytes(200), before=png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000)))),
    )
    profile = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000)))
    yield "png profiles", png(8, 8, bytes(200), before=profile * 1_100)
    yield "png pieces", png(8, 8, bytes(200), before=png_chunk(b"abCd", b"") * 50_000)
    yield from _jpeg_bombs()
    yield "bmp ends of line", bmp_rle(64_000, 1_000, b"\x01\0\0\0" * 1_000)
    yield "bmp steps nowhere", bmp_rle(1_000, 1_000, b"\0\x02\0\0" * 200_000)
    strips = struct.pack("<H", 8) * 400_000
    yield "tiff strips", tiff([*tags(1_000, 1_000, compression=1)[:-3], (273, 3, 400_000, strips)])
    yield (
        "tiff rationals",
        tiff([*tags(8, 8), (282, 5, 110_000, b"\x01\0\0\0\x03\0\0\0" * 110_000)]),
    )
    turn = tiff([(274, 5, 110_000, b"\x01\0\0\0\x03\0\0\0" * 110_000)])
    yield "png exif", png(8, 8, bytes(200), before=png_chunk(b"eXIf", turn))


def _jpeg_bombs() -> Iterator[tuple[str, bytes]]:
    """Scans, segments and padding without end."""
    large = saved(Image.new("RGB", (4_000, 4_000)), "JPEG", progressive=True)
    first_scan = large.index(b"\xff\xda")
    refinement = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"
    yield "jpeg of 90 scans", large[:-2] + refinement * 80 + b"\xff\xd9"
    yield "jpeg of 5,000 scans", large[:first_scan] + refinement * 5_000 + b"\xff\xd9"
    small = saved(PICTURE, "JPEG")
    exif = b"\xff\xe1\x80\0Exif\0\0" + bytes(0x8000 - 8)
    for name, segments in {
        "padding": b"\xff" * 500_000,
        "junk": b"\xff\xfe\0\x02" + b"\x01" * 500_000,
        "comments": b"\xff\xfe\0\x02" * 100_000,
        "exif": exif * 40 + b"\xff\xe1\0\x0aExif\0\0ab" * 10_000,
    }.items():
        yield f"jpeg {name}", small[:2] + segments + small[2:]
