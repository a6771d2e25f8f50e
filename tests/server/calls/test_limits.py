"""What callers may not do: too much in a call, too many calls, and bytes that are not gRPC at all."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.rpc import call_of
from tests.servers import ServerProcess, running_server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
MAX_CONCURRENT_STREAMS = 3


@pytest.fixture(scope="module")
def narrow(tiny_models: Path) -> Iterator[ServerProcess]:
    """A server with limits that a small image reaches."""
    limits = ("--max-image-bytes", "100000", "--max-inflight-bytes", "200000", "--max-image-pixels", "10000")
    with running_server(
        tiny_models, *limits, "--max-images-per-call", "2", "--queue-capacity", "70"
    ) as server:
        yield server


def test_image_of_too_many_bytes_is_refused(narrow: ServerProcess) -> None:
    refusal = refused(narrow, bytes(100_001))
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.details() == "the image has 100001 bytes, more than 100000"


def test_image_of_too_many_pixels_is_refused(narrow: ServerProcess) -> None:
    refusal = refused(narrow, tiny.picture("red", (101, 100)))
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.details() == "the image has 101 x 100 pixels, more than 10000"


def test_more_bytes_than_may_be_in_flight_are_refused(narrow: ServerProcess) -> None:
    assert refused(narrow, bytes(200_001)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_message_over_the_limit_is_refused_before_it_is_read(narrow: ServerProcess) -> None:
    refusal = refused(narrow, bytes(200_001 + 1024 * 1024))
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in (refusal.details() or "")


def test_one_connection_may_have_so_many_calls_at_once(narrow: ServerProcess) -> None:
    with connection(narrow) as raw:
        kind, body = next(frames(raw))
    assert kind == SETTINGS
    stated = dict(struct.iter_unpack(">HI", body))
    assert stated[MAX_CONCURRENT_STREAMS] == 140


def test_caller_who_pings_without_end_is_cut_off(narrow: ServerProcess) -> None:
    with connection(narrow) as raw:
        raw.sendall(frame(PING, bytes(8)) * 10)
        (last,) = (body for kind, body in frames(raw) if kind == GOAWAY)
    assert last.endswith(b"too_many_pings")
    assert_answers(narrow)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(100),
        bytes(range(256)) * 40,
        PREFACE + bytes(range(256)) * 40,
        PREFACE + b"\xff\xff\xff\0\0\0\0\0\x01" + bytes(1000),
        PREFACE[:10],
    ],
    ids=["http 1", "tls", "noise", "noise as frames", "endless frame", "half a greeting"],
)
def test_bytes_that_are_not_grpc_harm_nobody(narrow: ServerProcess, garbage: bytes) -> None:
    with (
        contextlib.suppress(OSError),  # the server may hang up before all is sent
        socket.create_connection(("127.0.0.1", narrow.ready["port"]), timeout=30) as raw,
    ):
        raw.sendall(garbage)
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(65536):
            pass
    assert_answers(narrow)


def test_connections_that_say_nothing_keep_nobody_waiting(narrow: ServerProcess) -> None:
    with contextlib.ExitStack() as silent:
        for _ in range(100):
            silent.enter_context(socket.create_connection(("127.0.0.1", narrow.ready["port"]), timeout=30))
        assert_answers(narrow)
    assert_answers(narrow)


def refused(server: ServerProcess, image: bytes) -> grpc.Call:
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as raised:
        ClassifierStub(channel).Classify(pb.ClassifyRequest(image=image), timeout=30)
    return call_of(raised.value)


def assert_answers(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.target) as channel:
        request = pb.ClassifyRequest(image=tiny.picture("blue"))
        assert ClassifierStub(channel).Classify(request, timeout=30).predictions[0].label == "blue"


@contextlib.contextmanager
def connection(server: ServerProcess) -> Iterator[socket.socket]:
    """HTTP/2 by hand, after the greeting."""
    with socket.create_connection(("127.0.0.1", server.ready["port"]), timeout=30) as raw:
        raw.sendall(PREFACE + frame(SETTINGS))
        yield raw


def frame(kind: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3) + bytes([kind, 0]) + bytes(4) + body


def frames(raw: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Kind and body of what comes, until the server closes the connection."""
    with raw.makefile("rb") as stream:
        while head := stream.read(9):
            yield head[3], stream.read(int.from_bytes(head[:3]))
