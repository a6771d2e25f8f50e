"""What is left of a PNG for its decoder, and what of the rest may tell which way up it is."""

import zlib

from fovea.images import png
from tests.odd_images import png_chunk

HEAD = png.START + png_chunk(b"IHDR", bytes(13))
PIXELS, END = png_chunk(b"IDAT", b"pixels"), png_chunk(b"IEND", b"")
XMP, PROFILE = b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"
HEXADECIMAL = b"\nexif\n      6\n457869\n66abcd\n"


def file_with(*chunks: bytes) -> bytes:
    return b"".join([HEAD, *chunks, PIXELS, END])


def beside(*chunks: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """EXIF and XMP of a file with these chunks, all of which its decoder can do without."""
    pixels, exif, xmp = png.split(file_with(*(png_chunk(name, body) for name, body in chunks)))
    assert pixels == file_with()
    return exif, xmp


def test_chunks_that_decide_on_pixels_are_all_that_is_left() -> None:
    for name, body in ((b"PLTE", b"abc"), (b"tRNS", b"a"), (b"ABcd", b"")):
        chunk = png_chunk(name, body)
        assert png.split(file_with(chunk)) == (file_with(chunk), b"", b"")
    for name, body in ((b"gAMA", b"abcd"), (b"tEXt", b"Comment\0x"), (b"iCCP", b"a\0\0"), (b"abCD", b"")):
        assert beside((name, body)) == (b"", b"")


def test_file_ends_with_its_last_chunk_or_with_what_is_cut_off() -> None:
    whole, starts = file_with(), (8, len(HEAD), len(HEAD + PIXELS))
    assert png.split(whole + b"more")[0] == whole
    for cut in range(8, len(whole)):
        start = max(start for start in starts if start <= cut)
        is_told = cut - start >= 12
        assert png.split(whole[:cut])[0] == whole[: cut if is_told else start], cut
    for name in (b"\0\0\0\0", b"IDA1"):
        damaged = HEAD + PIXELS + png_chunk(name, b"abc") + END + b"more"
        assert png.split(damaged)[0] == damaged


def test_first_exif_counts_and_a_profile_only_where_there_is_none() -> None:
    assert beside((b"eXIf", b"first"), (b"eXIf", b"second")) == (b"first", b"")
    assert beside((b"tEXt", PROFILE + HEXADECIMAL)) == (b"Exif\xab\xcd", b"")
    assert beside((b"zTXt", PROFILE + b"\0" + zlib.compress(HEXADECIMAL))) == (b"Exif\xab\xcd", b"")
    other = PROFILE + HEXADECIMAL.replace(b"ab", b"ff")
    assert beside((b"tEXt", PROFILE + HEXADECIMAL), (b"tEXt", other)) == (b"Exif\xab\xcd", b"")
    assert beside((b"tEXt", other), (b"eXIf", b"own")) == (b"own", b"")


def test_text_that_cannot_be_unpacked_says_nothing() -> None:
    for name, body in (
        (b"zTXt", PROFILE + b"\0garbage"),
        (b"tEXt", PROFILE + b"\nexif\n2\nxyz"),
        (b"tEXt", PROFILE + "\nexif\n2\né".encode()),
        (b"tEXt", PROFILE),
        (b"iTXt", PROFILE + HEXADECIMAL),
        (b"iTXt", XMP + b"\1\0\0\0garbage"),
        (b"iTXt", b"XML:com.adobe.xmq\0\0\0\0\0<x/>"),
    ):
        assert beside((name, body)) == (b"", b""), (name, body)


def test_first_xmp_counts_packed_or_not_whatever_its_language() -> None:
    packed = (b"iTXt", XMP + b"\1\0\0\0" + zlib.compress(b"<x>\0</x>"))
    plain = (b"iTXt", XMP + b"\0\0en-GB\0Title\0<x/>")
    assert beside(packed, plain) == (b"", b"<x>\0</x>")
    assert beside(plain, packed) == (b"", b"<x/>")


def test_of_a_long_text_the_first_megabyte_is_looked_at() -> None:
    first = b"a" * 1_048_576
    for text in (first, first + b"b"):
        assert beside((b"iTXt", XMP + b"\0\0\0\0" + text)) == (b"", first)
        assert beside((b"iTXt", XMP + b"\1\0\0\0" + zlib.compress(text, 1))) == (b"", first)
