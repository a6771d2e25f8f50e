"""A request whose data stays where it was received says what protobuf says of the same bytes."""

import random

from google.protobuf.message import DecodeError

from fovea.oip import open_inference_pb2 as pb
from server.oip.infer_request import InferRequest
from tests.server.oip_calls import of_images, of_typed_images, wanting

IMAGES = [b"one", b"", b"three" * 40]


def outcome(data: bytes) -> pb.ModelInferRequest | None:
    """None where the bytes are no request."""
    try:
        received = InferRequest.parse(data)
    except DecodeError:
        return None
    whole = pb.ModelInferRequest()
    whole.CopyFrom(received.message)
    del whole.raw_input_contents[:]
    whole.raw_input_contents.extend(map(bytes, received.raw))
    return whole


def expected(data: bytes) -> pb.ModelInferRequest | None:
    try:
        return pb.ModelInferRequest.FromString(data)
    except DecodeError:
        return None


def test_data_stays_where_it_was_received() -> None:
    data = of_images(IMAGES, id="a").SerializeToString()
    received = InferRequest.parse(data)
    assert received.id == "a"
    assert not received.message.raw_input_contents
    assert [part.obj for part in received.raw if isinstance(part, memoryview)] == [data]


def test_any_bytes_are_taken_or_refused_as_protobuf_does() -> None:
    chance = random.Random(7)
    requests = (of_images(IMAGES), wanting(of_typed_images(IMAGES), "label"))
    parts = [request.SerializeToString() for request in requests]
    parts += [b"\x3a\x00", b"\x3a\x02ab", b"\xba\x00\x01c", b"\x38\x05", b"\x3d1234", b"\x0a\x03xyz"]
    for _ in range(5_000):
        data = b"".join(chance.choices(parts, k=chance.randint(1, 4)))
        if chance.random() < 0.2:
            data = data[: chance.randrange(len(data) + 1)]
        assert outcome(data) == expected(data), data
