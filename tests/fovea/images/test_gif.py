"""What is left of a GIF for its decoder."""

import pytest

from fovea.errors import ImageInvalid
from fovea.images import gif

FRAME = b"\x2c and all that follows it: \x21\xfe\x01x\0"
DRAWN = b"\x21\xf9\x04\1\0\0\3\0"
COMMENT = b"\x21\xfe\x05first\x02ab\0"
LOOPS = b"\x21\xff\x0bNETSCAPE2.0\x03\1\0\0\0"


def head(flags: int, palette: bytes = b"") -> bytes:
    return b"GIF89a" + bytes([1, 0, 1, 0, flags, 0, 0]) + palette


def test_extensions_but_those_of_drawing_are_left_out_after_a_palette_of_any_size() -> None:
    for other_bits in (0, 0x78):
        for size in range(8):
            extended = bytes(b"\x21\xf9\xfe"[index % 3] for index in range(3 * 2 ** (size + 1)))
            for start in (head(other_bits | size), head(0x80 | other_bits | size, extended)):
                assert gif.bare(start + FRAME) == start + FRAME
                assert gif.bare(start + COMMENT + DRAWN + LOOPS + FRAME) == start + DRAWN + FRAME
                assert gif.bare(start + DRAWN + COMMENT + DRAWN + FRAME) == start + DRAWN + DRAWN + FRAME


def test_gif_that_is_cut_off_comes_back_as_far_as_it_is_there() -> None:
    start = head(0x80, b"rgbRGB")
    for cut in range(6, len(start) + 1):
        assert gif.bare(start[:cut]) == start[:cut]
    for cut in range(1, len(COMMENT)):
        assert gif.bare(start + COMMENT[:cut]) == start
        assert gif.bare(start + DRAWN + COMMENT[:cut]) == start + DRAWN
    for cut in range(2, len(DRAWN)):
        assert gif.bare(start + DRAWN[:cut]) == start + DRAWN[:cut]


def test_a_million_pieces_are_gone_through_and_no_more() -> None:
    pieces = b"\x01x" * 1_000_000
    assert gif.bare(head(0) + b"\x21\xfe" + pieces + b"\0" + FRAME) == head(0) + FRAME
    with pytest.raises(ImageInvalid, match="the image is in too many small pieces"):
        gif.bare(head(0) + b"\x21\xfe" + pieces + b"\x01x\0" + FRAME)
