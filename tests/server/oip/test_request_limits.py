"""Requests that are refused before they are parsed, and bytes that are no request at all."""

import random
from collections.abc import Callable

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError

from fovea.oip import open_inference_pb2 as pb
from server.errors import FieldInvalid
from server.oip import request_limits
from server.oip.request_limits import MAX_REST_BYTES, inference_limits
from tests.server.calls.test_malformed import counts
from tests.server.oip_calls import (
    IMAGES,
    PATIENCE_S,
    crops_of,
    of_images,
    of_pixels,
    of_typed_images,
    of_typed_pixels,
    wanting,
    with_parameter,
)
from tests.servers import ServerProcess

METHODS = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
LIMITS = inference_limits()
check_infer = LIMITS["ModelInfer"]
SERVICE = "/inference.GRPCInferenceService"
MODEL_INFER = f"{SERVICE}/ModelInfer"
LARGE = b"x" * 1_000_000

ORDINARY: dict[str, Callable[[], pb.ModelInferRequest]] = {
    "64 large images": lambda: of_images([LARGE] * 64),
    "64 large typed images": lambda: of_typed_images([LARGE] * 64),
    "64 crops of 224": lambda: of_pixels(np.zeros((64, 224, 224, 3), np.uint8)),
    "64 white typed crops": lambda: of_typed_pixels(np.full((64, 224, 224, 3), 255, np.uint8)),
    "everything": lambda: with_parameter(
        wanting(of_images(model_version="1", id="x"), "label", "logits"), "timeout", int64_param=1
    ),
    "another datatype": lambda: pb.ModelInferRequest(
        inputs=[{"name": "pixels", "contents": {"fp32_contents": [0.5] * 150_528}}]  # type: ignore[list-item]
    ),
}


@pytest.mark.parametrize("request_", ORDINARY.values(), ids=ORDINARY)
def test_what_a_call_may_have_passes(request_: Callable[[], pb.ModelInferRequest]) -> None:
    check_infer(request_().SerializeToString())


def nested(*fields: tuple[int, bytes]) -> bytes:
    """Each a number below 16 and the content, as protobuf writes a message's fields."""
    return b"".join(
        bytes([number << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content
        for number, content in fields
    )


SEVERAL = 100
"""More than may be, once the limit is lowered."""
MANY: dict[str, bytes] = {
    "inputs": b"\x2a\x00" * SEVERAL,
    "outputs": b"\x32\x00" * SEVERAL,
    "parameters": b"\x22\x00" * SEVERAL,
    "raw contents": b"\x3a\x00" * SEVERAL,
    "a name": nested((1, b"x" * SEVERAL)),
    "dimensions": nested((5, nested((3, b"\x01" * SEVERAL)))),
    "parameters of an input": nested((5, b"\x22\x00" * SEVERAL)),
    "typed images": nested((5, nested((5, b"\x42\x00" * SEVERAL)))),
    "numbers one by one": nested((5, nested((5, b"\x18\x01" * SEVERAL)))),
    "fields that are not known": b"\x98\x06\x00" * SEVERAL,
}


@pytest.mark.parametrize("data", MANY.values(), ids=MANY)
def test_more_names_shapes_and_parameters_than_may_be_are_refused(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    check_infer(data)
    monkeypatch.setattr(request_limits, "MAX_REST_BYTES", SEVERAL - 1)
    with pytest.raises(FieldInvalid, match=f"may have {SEVERAL - 1} bytes apart from its tensors' data"):
        check_infer(data)


def test_more_typed_numbers_than_may_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = of_typed_pixels(np.zeros((1, 16, 16, 3), np.uint8)).SerializeToString()
    check_infer(data)
    monkeypatch.setattr(request_limits, "MAX_NUMBERS_BYTES", 16 * 16 * 3 - 1)
    with pytest.raises(FieldInvalid, match="send raw_input_contents"):
        check_infer(data)


@pytest.mark.parametrize(
    "data",
    [b"\x2b\x2c", b"\x3a\x05abc", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80", b"\x3d\x00"],
    ids=["a group", "cut off", "an endless length", "half a tag", "half a number"],
)
def test_what_is_not_protobuf_is_not_parsed(data: bytes) -> None:
    with pytest.raises(DecodeError):
        check_infer(data)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"ModelInfer"}))
def test_requests_without_tensors_are_small(method: str) -> None:
    with pytest.raises(FieldInvalid, match="the request has 100000 bytes, more than 65536"):
        LIMITS[method](bytes(100_000))


def end_of(channel: grpc.Channel, method: str, data: bytes) -> tuple[grpc.StatusCode, str]:
    """How a call to `/service/method` ends that sends these bytes, and what it is told."""
    method_call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    call = method_call.future(data, timeout=PATIENCE_S)
    call.exception()
    return call.code(), call.details() or ""


def test_size_is_looked_at_before_the_request_is_parsed(channel: grpc.Channel) -> None:
    """What comes after too much is not looked at, so it may be no protobuf."""
    assert end_of(channel, MODEL_INFER, of_images().SerializeToString())[0] is grpc.StatusCode.OK
    name = pb.ModelInferRequest(model_name="x" * (MAX_REST_BYTES + 1)).SerializeToString()
    code, details = end_of(channel, MODEL_INFER, name + b"\x0a\x64cut off")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert f"a request may have {MAX_REST_BYTES} bytes" in details


@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_request_are_refused_and_counted(
    server: ServerProcess, channel: grpc.Channel, method: str
) -> None:
    before = counts(server)
    assert end_of(channel, f"{SERVICE}/{method}", b"\x0a\x64cut off")[0] is grpc.StatusCode.INVALID_ARGUMENT
    more = counts(server) - before
    assert more[f'fovea_requests_total{{code="INVALID_ARGUMENT",method="{method}"}}'] == 1
    assert not any("Traceback" in line for line in server.stderr)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut out or put in, most of them where the structure is."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(min(len(changed), 60) if chance.random() < 0.8 else len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[at : at + chance.randrange(1, 6)]
            case _:
                changed[at:at] = chance.randbytes(chance.randrange(1, 6))
    return bytes(changed)


def test_damaged_requests_are_answered_or_refused(server: ServerProcess, channel: grpc.Channel) -> None:
    chance = random.Random(7)
    crops = crops_of(IMAGES)
    whole = [
        make.SerializeToString()
        for make in (
            wanting(wanting(of_images(id="x"), "probabilities", classification=2), "label"),
            with_parameter(of_typed_images(), "priority", int64_param=2),
            of_pixels(crops),
            of_typed_pixels(crops[:1]),
        )
    ]
    ends = {end_of(channel, MODEL_INFER, damaged(chance.choice(whole), chance))[0] for _ in range(1000)}
    assert ends <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT} <= ends
    assert not any("Traceback" in line for line in server.stderr)
    assert server.process.poll() is None
