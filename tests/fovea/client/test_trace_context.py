"""Calls of the client are part of the trace that goes on where they are made."""

import sys

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from fovea.client.bearer import bearer
from fovea.client.trace_context import traced

HERE = NonRecordingSpan(SpanContext(0xA1, 0xB2, is_remote=False, trace_flags=TraceFlags(1)))
PARENT = ("traceparent", f"00-{0xA1:032x}-{0xB2:016x}-01")


def test_current_span_is_named_beside_the_token() -> None:
    with trace.use_span(HERE):
        assert traced(bearer())() == (PARENT,)
        assert traced(bearer("abc"))() == (("authorization", "Bearer abc"), PARENT)


def test_nothing_is_said_where_no_span_goes_on() -> None:
    assert traced(bearer())() is None
    assert traced(bearer("abc"))() == (("authorization", "Bearer abc"),)


def test_process_without_opentelemetry_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert traced(bearer())() is None
