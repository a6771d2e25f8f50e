"""Bytes that are no request, to each method."""

import urllib.request
from collections import Counter

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tests import tiny
from tests.rpc import call_of
from tests.servers import ServerProcess

PATIENCE_S = 30
CUT_OFF = b"\x0a\x64" + tiny.picture("red")[:50]
NOT_UTF8 = b"\x32\x01\xff"


def status_of(channel: grpc.Channel, method: str, data: bytes) -> Status | None:
    """How a call ends that sends these bytes as its request."""
    # On the wire a call with one request looks like a stream with one.
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
        f"/fovea.v1.Classifier/{method}"
    )
    with pytest.raises(grpc.RpcError) as raised:
        list(call(iter([data]), timeout=PATIENCE_S))
    return rpc_status.from_call(call_of(raised.value))


def counts(server: ServerProcess) -> Counter[str]:
    """Each series of the metrics page."""
    with urllib.request.urlopen(server.metrics_url, timeout=PATIENCE_S) as page:
        lines = [line.rsplit(" ", 1) for line in page.read().decode().splitlines() if line[0] != "#"]
    return Counter({series: float(value) for series, value in lines})


@pytest.mark.parametrize("method", ["Classify", "ClassifyBatch", "ClassifyStream", "GetModel"])
def test_bytes_that_are_no_request_are_refused_by_name_and_counted(
    server: ServerProcess, channel: grpc.Channel, method: str
) -> None:
    before = counts(server)
    status = status_of(channel, method, CUT_OFF)
    assert status is not None
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message.startswith("the request is not a fovea.v1.")
    detail = BadRequest()
    assert status.details[0].Unpack(detail)
    assert [violation.field for violation in detail.field_violations] == ["request"]
    more = counts(server) - before
    assert more[f'fovea_requests_total{{code="INVALID_ARGUMENT",method="{method}"}}'] == 1
    assert more['fovea_refused_total{reason="invalid_field"}'] == 1
    assert not any("Traceback" in line for line in server.stderr)


def test_text_that_is_not_utf_8_is_refused_by_name(channel: grpc.Channel) -> None:
    status = status_of(channel, "Classify", NOT_UTF8)
    assert status is not None
    assert status.message == "the request is not a fovea.v1.ClassifyRequest in protobuf's encoding"
