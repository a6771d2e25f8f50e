import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from server.errors import ComputeFailed, QueueFull
from server.statuses import status_of


def test_bug_is_opaque_to_its_caller_and_whole_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    error = ComputeFailed("secret path /etc/model")
    status = status_of(error, "photo-17")
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert status.message == "internal error; the server's log has it under request id photo-17"
    assert "secret path" in caplog.text
    assert caplog.records[0].__dict__["request_id"] == "photo-17"


def test_bug_without_a_request_id_is_given_one(caplog: pytest.LogCaptureFixture) -> None:
    status = status_of(RuntimeError("boom"), "")
    assert status.message.endswith(caplog.records[0].__dict__["request_id"])


def test_full_queue_says_to_the_millisecond_when_to_come_back_and_never_too_early() -> None:
    for seconds, milliseconds in ((0.0501, 51), (0.25, 250), (10.0, 10_000)):
        status = status_of(QueueFull("full", seconds), "")
        (detail,) = status.details
        retry = RetryInfo()
        assert detail.Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == milliseconds
