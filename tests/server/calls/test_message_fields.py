"""The fields of a message are found where protobuf has them."""

import struct

import pytest
from google.protobuf.message import DecodeError

from server.calls.message_fields import fields

VARINT, FIXED64, LENGTH, GROUP, FIXED32 = 0, 1, 2, 3, 5


def tag(number: int, kind: int) -> bytes:
    return bytes([number << 3 | kind])


def test_fields_of_every_kind_are_found_with_their_places() -> None:
    pieces = [
        tag(1, VARINT) + b"\xac\x02",
        tag(2, FIXED64) + struct.pack("<Q", 7),
        tag(3, LENGTH) + b"\x03abc",
        tag(4, FIXED32) + struct.pack("<I", 7),
        tag(5, LENGTH) + b"\x00",
        tag(6, VARINT) + b"\xff" * 9 + b"\x01",  # the longest there is: ten bytes
    ]
    data = b"".join(pieces)
    starts = [sum(map(len, pieces[:index])) for index in range(len(pieces) + 1)]
    contents = [1, 1, 2, 1, 2, 1]
    assert list(fields(data, 0, len(data))) == [
        (index + 1, start, start + contents[index], starts[index + 1])
        for index, start in enumerate(starts[:-1])
    ]
    assert [number for number, *_ in fields(data, starts[2], starts[4])] == [3, 4]


def test_numbers_and_lengths_of_several_bytes_are_read() -> None:
    """300 is ac 02, in groups of seven bits."""
    data = b"\xe2\x12" + b"\xac\x02" + bytes(300) + b"\x80\x01\x00"
    assert list(fields(data, 0, len(data))) == [(300, 0, 4, 304), (16, 304, 306, 307)]
    for cut in (*range(1, 4), 303, 305, 306):
        with pytest.raises(DecodeError):
            list(fields(data, 0, cut))


def test_what_is_cut_off_or_of_an_unknown_kind_is_no_message() -> None:
    for data in (
        tag(1, VARINT),
        tag(1, VARINT) + b"\xff",
        tag(1, VARINT) + b"\xff" * 10 + b"\x01",
        tag(1, FIXED64) + bytes(7),
        tag(1, FIXED32) + bytes(3),
        tag(1, LENGTH) + b"\x03ab",
        *(tag(1, kind) for kind in (GROUP, 4, 6, 7)),
    ):
        with pytest.raises(DecodeError):
            list(fields(data, 0, len(data)))
