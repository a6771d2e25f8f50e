from pathlib import Path

import grpc
import pytest

from tests.servers import running_server

PATIENCE_S = 30
NO_REQUEST = b"\xff"
METHODS = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)


def test_bytes_that_are_no_request_to_health_or_reflection_are_no_error_in_the_log(tiny_models: Path) -> None:
    with running_server(tiny_models) as server:
        for target in (server.target, server.health_target):
            with grpc.insecure_channel(target) as channel:
                for method in METHODS:
                    refuse(channel, method, NO_REQUEST)
                refuse(channel, "/grpc.health.v1.Health/List", b"")
        server.end()
        assert server.exit_code() == 0
    assert not any("Traceback" in line for line in server.stderr)


def refuse(channel: grpc.Channel, method: str, data: bytes) -> None:
    # On the wire a call with one request looks like a stream with one.
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
    with pytest.raises(grpc.RpcError):
        list(call(iter([data]), timeout=PATIENCE_S))
