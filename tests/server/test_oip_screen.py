"""Requests that would take many times their size once parsed, and bytes that are no request at all."""

import random
from collections.abc import Callable

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError

from fovea.oip import open_inference_pb2 as pb
from server.errors import InvalidField
from server.oip.screen import MAX_NUMBERS_BYTES, MAX_REST_BYTES, check
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
from tests.server.test_handlers import counts
from tests.server.test_hostile import anonymous_bytes
from tests.servers import ServerProcess

METHODS = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
INFER = METHODS["ModelInfer"]
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
    check(INFER, request_().SerializeToString())


HUGE: dict[str, Callable[[], bytes]] = {
    "inputs": lambda: b"\x2a\x00" * 5_000_000,
    "outputs": lambda: b"\x32\x00" * 5_000_000,
    "parameters": lambda: b"\x22\x00" * 5_000_000,
    "raw contents": lambda: b"\x3a\x00" * 5_000_000,
    "a name": lambda: pb.ModelInferRequest(model_name="x" * 10_000_000).SerializeToString(),
    "dimensions": lambda: pb.ModelInferRequest(inputs=[{"shape": [1] * 10_000_000}]).SerializeToString(),  # type: ignore[list-item]
    "parameters of an input": lambda: b"\x2a\x80\x89\x7a" + b"\x22\x00" * 1_000_000,
    "typed images": lambda: pb.ModelInferRequest(
        inputs=[{"contents": {"bytes_contents": [b""] * 1_000_000}}]  # type: ignore[list-item]
    ).SerializeToString(),
    "numbers one by one": lambda: b"\x2a\x84\x89\x7a" + b"\x2a\x80\x89\x7a" + b"\x18\x01" * 1_000_000,
    "fields that are not known": lambda: b"\x98\x06\x00" * 3_000_000,
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE)
def test_more_names_shapes_and_parameters_than_any_call_has_are_refused(data: Callable[[], bytes]) -> None:
    with pytest.raises(InvalidField, match=f"may have {MAX_REST_BYTES} bytes apart from its tensors' data"):
        check(INFER, data())


def test_more_typed_numbers_than_any_call_has_are_refused() -> None:
    numbers = pb.InferTensorContents(int64_contents=[1] * (MAX_NUMBERS_BYTES + 1))
    request = pb.ModelInferRequest(inputs=[pb.ModelInferRequest.InferInputTensor(contents=numbers)])
    with pytest.raises(InvalidField, match="send raw_input_contents"):
        check(INFER, request.SerializeToString())


@pytest.mark.parametrize(
    "data",
    [b"\x2b\x2c", b"\x3a\x05abc", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80", b"\x3d\x00"],
    ids=["a group", "cut off", "an endless length", "half a tag", "half a number"],
)
def test_what_is_not_protobuf_is_not_parsed(data: bytes) -> None:
    with pytest.raises(DecodeError):
        check(INFER, data)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"ModelInfer"}))
def test_requests_without_tensors_are_small(method: str) -> None:
    with pytest.raises(InvalidField, match="the request has 100000 bytes, more than 65536"):
        check(METHODS[method], bytes(100_000))


def end_of(channel: grpc.Channel, method: str, data: bytes) -> grpc.StatusCode:
    """How a call to `/service/method` ends that sends these bytes."""
    call = channel.unary_unary(method).future(data, timeout=PATIENCE_S)
    call.exception()
    return call.code()


def test_a_huge_request_of_nothing_takes_no_memory(server: ServerProcess, channel: grpc.Channel) -> None:
    assert end_of(channel, MODEL_INFER, of_images().SerializeToString()) is grpc.StatusCode.OK
    before = anonymous_bytes(server)
    for _ in range(3):
        assert end_of(channel, MODEL_INFER, b"\x2a\x00" * 10_000_000) is grpc.StatusCode.INVALID_ARGUMENT
    assert anonymous_bytes(server) - before < 100_000_000


@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_request_are_refused_and_counted(
    server: ServerProcess, channel: grpc.Channel, method: str
) -> None:
    before = counts(server)
    assert end_of(channel, f"{SERVICE}/{method}", b"\x0a\x64cut off") is grpc.StatusCode.INVALID_ARGUMENT
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
            wanting(of_images(id="x"), "probabilities", "label", classification=2),
            with_parameter(of_typed_images(), "priority", int64_param=2),
            of_pixels(crops),
            of_typed_pixels(crops[:1]),
        )
    ]
    ends = {end_of(channel, MODEL_INFER, damaged(chance.choice(whole), chance)) for _ in range(1000)}
    assert ends <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT} <= ends
    assert not any("Traceback" in line for line in server.stderr)
    assert server.process.poll() is None
