"""Callers who hang up on a stream."""

import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.calls import answering
from server.calls.answering import AccessLog, Calls
from server.calls.service import ClassifierService
from server.models.catalogue import Catalogue
from server.queue.priorities import Admission
from server.telemetry.metrics import Metrics
from tests import tiny
from tests.server.event_loop import in_event_loop
from tests.servers import running_server

REQUEST = pb.ClassifyRequest(image=tiny.picture("red"))


class CallThatEnds:
    """What gRPC gives a handler, of a call that is gone once `gone` is set."""

    def __init__(self) -> None:
        self.gone = False
        self.remaining_s: float | None = None

    def peer(self) -> str:
        assert not self.gone
        return "ipv4:10.0.0.7:51234"

    def time_remaining(self) -> float | None:
        assert not self.gone
        return self.remaining_s


@in_event_loop
async def test_nothing_is_asked_of_a_call_whose_caller_hung_up(caplog: pytest.LogCaptureFixture) -> None:
    """With no model, which makes the answer an error and the stream a stream all the same."""
    caplog.set_level("INFO")
    service = ClassifierService(Catalogue(), Admission(1, 10**6), Calls(Metrics().calls, AccessLog(1)))
    call: Any = CallThatEnds()
    answers: Any = service.ClassifyStream(two_requests(), call)
    assert (await anext(answers)).HasField("error")
    call.gone = True
    await answers.aclose()
    (entry,) = [vars(record) for record in caplog.records if record.message == "call"]
    assert (entry["code"], entry["peer"]) == ("CANCELLED", "10.0.0.7")


@in_event_loop
async def test_caller_who_goes_at_its_deadline_was_not_the_one_to_cancel(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that stands still."""
    monkeypatch.setattr(answering, "time", SimpleNamespace(monotonic=lambda: 1_000.0))
    caplog.set_level("INFO")
    service = ClassifierService(Catalogue(), Admission(1, 10**6), Calls(Metrics().calls, AccessLog(1)))
    for remaining_s, code in (
        (None, "CANCELLED"),
        (math.inf, "CANCELLED"),
        (3600.0, "CANCELLED"),
        (0.06, "CANCELLED"),
        (0.04, "DEADLINE_EXCEEDED"),
        (-1.0, "DEADLINE_EXCEEDED"),
    ):
        caplog.clear()
        call: Any = CallThatEnds()
        call.remaining_s = remaining_s
        answers: Any = service.ClassifyStream(two_requests(), call)
        assert (await anext(answers)).HasField("error")
        await answers.aclose()
        assert [vars(record)["code"] for record in caplog.records if record.message == "call"] == [code]


async def two_requests() -> AsyncIterator[pb.ClassifyRequest]:
    yield REQUEST
    yield REQUEST


def test_a_caller_who_hangs_up_is_no_error_in_the_log(tiny_models: Path) -> None:
    with running_server(tiny_models, "--log-level", "debug", "--threads", "1") as server:
        with grpc.insecure_channel(server.target) as channel:
            requests: SimpleQueue[pb.ClassifyRequest | None] = SimpleQueue()
            requests.put(REQUEST)
            stream = ClassifierStub(channel).ClassifyStream(until_none(requests), timeout=30)
            assert next(stream).HasField("response")
            stream.cancel()
            requests.put(None)
            assert server.wait_for("call")["method"] == "ClassifyStream"
            assert ClassifierStub(channel).Classify(REQUEST, timeout=30).predictions
        server.end()
        assert server.exit_code() == 0
        assert not any('"level": "error"' in line for line in server.stderr)


def until_none(requests: "SimpleQueue[pb.ClassifyRequest | None]") -> Iterator[pb.ClassifyRequest]:
    while (request := requests.get()) is not None:
        yield request
