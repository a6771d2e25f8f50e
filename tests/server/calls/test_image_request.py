"""A request whose images stay where they were received says what protobuf says of the same bytes."""

import random
from typing import Final

from google.protobuf.message import DecodeError

from fovea.v1 import classify_pb2 as pb
from server.calls.service import BatchRequest, ImageRequest, OneImage, batch_request, image_request

FIELDS: Final = ("image", "top_k", "min_probability", "model_version", "priority", "request_id")


def said(request: OneImage) -> list[object]:
    values = [getattr(request, name) for name in FIELDS]
    return [bytes(value) if isinstance(value, memoryview) else value for value in values]


def outcome(data: bytes) -> list[object] | None:
    """None where the bytes are no request; that protobuf says the same is checked."""
    try:
        expected = said(pb.ClassifyRequest.FromString(data))
    except DecodeError:
        expected = None
    try:
        result = said(image_request(data))
    except DecodeError:
        result = None
    assert result == expected, data
    return result


def test_image_stays_where_it_was_received() -> None:
    for size in (0, 1, 127, 128, 16_383, 16_384, 3_000_000):
        image = bytes(size - 1) + b"x" if size else b""
        data = pb.ClassifyRequest(image=image, top_k=3, request_id="a", priority=pb.PRIORITY_BULK)
        received = image_request(data.SerializeToString())
        assert said(received) == said(data)
        if size:
            assert isinstance(received, ImageRequest)
            assert received.image.nbytes == size


def test_last_of_several_images_counts_also_an_empty_one() -> None:
    first = pb.ClassifyRequest(image=b"first", top_k=2).SerializeToString()
    for another in (b"\x0a\x00", b"\x0a\x03new", b"\x8a\x00\x00", b"\x8a\x80\x00\x01z", b"\x0a\x80\x00"):
        result = outcome(first + another)
        assert result is not None
        assert result[0] != b"first"


def test_any_bytes_are_taken_or_refused_as_protobuf_does() -> None:
    chance = random.Random(7)
    rest = pb.ClassifyRequest(top_k=10, min_probability=0.01, request_id="\n", model_version=2**63)
    for _ in range(20_000):
        image = chance.randbytes(chance.choice((0, 1, 2, 130)))
        parts = [
            pb.ClassifyRequest(image=image).SerializeToString(),
            rest.SerializeToString(),
            b"\x0a" + bytes([len(image) & 0x7F | 0x80, len(image) >> 7]) + image,
            chance.randbytes(chance.randrange(4)),
        ]
        data = b"".join(chance.choices(parts, k=chance.randint(1, 3)))
        outcome(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.2 else data)


def batch_said(request: BatchRequest | pb.ClassifyBatchRequest) -> list[object]:
    return [[bytes(image) for image in request.images], *(getattr(request, name) for name in FIELDS[1:])]


def test_images_of_a_batch_stay_where_they_were_received() -> None:
    data = pb.ClassifyBatchRequest(images=[b"one", b"", b"x" * 300], top_k=2).SerializeToString()
    received = batch_request(data)
    assert isinstance(received, BatchRequest)
    assert [image.obj for image in received.images] == [data] * 3
    for more in (b"", b"\x0a\x01z", b"\x8a\x00\x01c", b"\x30\x05\x0a\x02ab", b"\x32\x01a\x0a\x00\x10\x07"):
        assert batch_said(batch_request(data + more)) == batch_said(
            pb.ClassifyBatchRequest.FromString(data + more)
        )
