"""Thousands of connections that ask for nothing, beside callers who do."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import grpc
import pytest

from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.http.server import MAX_CONNECTIONS
from tests import tiny
from tests.server.http.calls import post
from tests.servers import ServerProcess, running_server

CONNECTIONS: Final = 10_000
PATIENCE_S: Final = 30

pytestmark = pytest.mark.slow


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many as may be, in the server too."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        if 0 <= before[1] < CONNECTIONS + 1000:
            pytest.skip(f"{before[1]} files may be open")
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
def test_ten_thousand_idle_connections_keep_nobody_from_an_answer(tiny_models: Path) -> None:
    half_a_head = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
    half_a_body = half_a_head + b"Content-Length: 1000\r\n\r\nx"
    with running_server(tiny_models) as server, ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(server.target))
        for number in range(CONNECTIONS):
            idle = stack.enter_context(
                socket.create_connection(("127.0.0.1", server.ready["http_port"]), PATIENCE_S)
            )
            # Some say nothing, some begin a head; a few begin a body, and so are busy.
            if number % 2:
                idle.sendall(half_a_head)
            elif number % 100 == 0:
                idle.sendall(half_a_body)
            if number % 1000 == 0:
                assert answers(server, channel) == ["red", "red"]
        assert answers(server, channel) == ["red", "red"]
        assert open_sockets(server) < MAX_CONNECTIONS + 100


def answers(server: ServerProcess, channel: grpc.Channel) -> list[str]:
    """Over gRPC and HTTP."""
    image = tiny.picture("red")
    over_grpc = ClassifierStub(channel).Classify(pb.ClassifyRequest(image=image), timeout=PATIENCE_S)
    over_http = post(server, "/v1/classify", image).json
    return [over_grpc.predictions[0].label, over_http["predictions"][0]["label"]]


def open_sockets(server: ServerProcess) -> int:
    return sum(1 for file in Path(f"/proc/{server.process.pid}/fd").iterdir() if _is_socket(file))


def _is_socket(file: Path) -> bool:
    try:
        return str(file.readlink()).startswith("socket:")
    except FileNotFoundError:  # it has been closed meanwhile
        return False
