"""Spans of calls without a server around them: crashes, callers who leave, what is believed of headers."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fovea.errors import ImageInvalid
from fovea.v1 import classify_pb2 as pb
from server.calls.answering import AccessLog, Calls, note
from server.calls.call_traces import FAULTS, CallTraces
from server.errors import Draining, QueueFull
from server.statuses import CODES
from server.telemetry.call_metrics import OwnCallMetrics
from tests.server.event_loop import in_event_loop

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Ended(Exception):
    pass


class Called:
    """What gRPC gives a handler."""

    def __init__(self, metadata: Sequence[tuple[str, str | bytes]] | None = ()) -> None:
        self._metadata = metadata

    def peer(self) -> str:
        return "ipv4:10.0.0.7:51234"

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        return self._metadata

    async def abort_with_status(self, status: grpc.Status) -> None:
        raise Ended(status.details)


class Traced:
    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.calls = Calls(
            OwnCallMetrics(None), AccessLog(0), traces=CallTraces(provider.get_tracer("tests"))
        )

    def answering(self, called: Any, deadline: float | None = None) -> Any:
        return self.calls.answering("Classify", None, "photo", called, deadline)

    def spans(self) -> Sequence[ReadableSpan]:
        return self._spans.get_finished_spans()


@pytest.fixture
def traced() -> Traced:
    return Traced()


@in_event_loop
async def ended_by(traced: Traced, error: BaseException, deadline: float | None = None) -> None:
    with pytest.raises((Ended, asyncio.CancelledError)):
        async with traced.answering(Called(), deadline):
            raise error


@pytest.mark.parametrize(
    ("error", "code", "event"),
    [
        (ZeroDivisionError("by nothing"), "INTERNAL", "exception"),
        (Draining("the server is shutting down"), "UNAVAILABLE", None),
        (QueueFull("full", 1.0), "RESOURCE_EXHAUSTED", None),
        (ImageInvalid("truncated", "cut off"), "INVALID_ARGUMENT", None),
    ],
)
def test_crash_is_an_error_with_its_traceback_and_a_refusal_has_none(
    traced: Traced, error: Exception, code: str, event: str | None
) -> None:
    ended_by(traced, error)
    (span,) = traced.spans()
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == code
    is_fault = code in FAULTS
    assert span.status.status_code.name == ("ERROR" if is_fault else "UNSET")
    assert span.status.description == (str(error) if is_fault else None)
    assert span.attributes.get("error.type") == (code if is_fault else None)
    assert [each.name for each in span.events] == ([event] if event else [])


@pytest.mark.parametrize(
    ("left_s", "code", "status"), [(60.0, "CANCELLED", "UNSET"), (-1.0, "DEADLINE_EXCEEDED", "ERROR")]
)
def test_caller_who_left_is_no_error_and_a_deadline_that_passed_is_one(
    traced: Traced, left_s: float, code: str, status: str
) -> None:
    ended_by(traced, asyncio.CancelledError(), time.monotonic() + left_s)
    (span,) = traced.spans()
    assert span.attributes is not None
    assert (span.attributes["rpc.response.status_code"], span.status.status_code.name) == (code, status)


@pytest.mark.parametrize(
    ("metadata", "is_followed"),
    [
        ([("traceparent", PARENT)], True),
        ([("user-agent", "x"), ("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")], True),
        ([("traceparent", PARENT), ("traceparent", PARENT)], False),
        ([("traceparent", PARENT.encode())], False),
        ([("traceparent", PARENT.replace("00-4b", "ff-4b"))], False),
        ([("traceparent", f"00-{'0' * 32}-00f067aa0ba902b7-01")], False),
        ([("traceparent", " " * 600 + PARENT)], False),
        ([("traceparent", PARENT), ("tracestate", "x" * 600)], True),
        (None, False),
    ],
)
@in_event_loop
async def test_one_well_formed_parent_is_followed(
    traced: Traced, metadata: Sequence[tuple[str, str | bytes]] | None, is_followed: bool
) -> None:
    async with traced.answering(Called(metadata)):
        pass
    (span,) = traced.spans()
    assert (span.parent is not None) == is_followed
    if span.parent is not None:
        assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
        assert len(span.parent.trace_state) <= 2


@in_event_loop
async def test_children_are_those_of_the_slowest_image_and_begin_one_after_the_other(traced: Traced) -> None:
    async with traced.answering(Called()) as call:
        for queue_us in (10, 3000, 20):
            timing = pb.Timing(decode_us=200, queue_us=queue_us, compute_us=500, batch_size=2)
            note(call, pb.ClassifyResponse(model=pb.ModelVersion(name="pets", version=7), timing=timing))
        note(call, pb.ClassifyResponse())
    *children, span = traced.spans()
    lengths = {child.name: ((child.end_time or 0) - (child.start_time or 0)) // 1000 for child in children}
    assert lengths == {"compute": 500, "decode": 200, "queue": 3000}
    assert children[0].start_time == children[1].end_time
    assert children[1].start_time == children[2].end_time
    assert span.attributes is not None
    assert (span.attributes["fovea.model.name"], span.attributes["fovea.images"]) == ("pets", 4)


@in_event_loop
async def test_what_took_no_time_has_no_span(traced: Traced) -> None:
    """A crop, which nobody decodes, in a batch that could begin at once."""
    async with traced.answering(Called()) as call:
        note(call, pb.ClassifyResponse(timing=pb.Timing(compute_us=500, batch_size=1)))
    assert [span.name for span in traced.spans()] == ["compute", "fovea.v1.Classifier/Classify"]


def test_codes_that_are_errors_are_codes_of_ours() -> None:
    assert FAULTS - {"UNKNOWN", "DATA_LOSS"} <= set(CODES)
