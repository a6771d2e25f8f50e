"""The span of each call, with children that tell what its slowest image took.

Is loaded where `fovea.tracing` is on. The spans are ours: the ready-made interceptor for grpc.aio breaks
what answers by `context.write`, and tells OK of calls that crashed or came too late. Names and attributes are
those of OpenTelemetry's conventions for RPC and HTTP; what they have no word for is below `fovea.`.
"""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, cast

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fovea.errors import FoveaError
from fovea.oip import open_inference_pb2
from fovea.v1 import classify_pb2 as pb
from server.calls.access_log import Call, address_of
from server.errors import Refused
from server.models.model import Classified
from server.telemetry.exemplars import EXEMPLAR

FAULTS: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""Codes that are a server's error by the conventions; of others its caller is the reason."""

_FULL_NAMES: Final = {
    method.name: f"{service.full_name}/{method.name}"
    for contract in (pb, open_inference_pb2)
    for service in contract.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NOTHING: Final = context.Context()
_CARRIED: Final = ("traceparent", "tracestate")

Metadata = Sequence[tuple[str, str | bytes]]


class OverHttp(Protocol):
    """The context of a call that came over HTTP: its span ends with its answer, whose status it tells."""

    def span_facts(self) -> tuple[str, dict[str, str]]:
        """Name and attributes, as the conventions have them."""

    def traced(self, trace: "CallTrace") -> None:
        """Is given what to end, by `answered_with`."""


class _Took(NamedTuple):
    """An image that was answered."""

    seconds: float
    decode_s: float
    queue_s: float
    compute_s: float
    batch_size: int
    ended_ns: int


class CallTraces:
    """Begins them. Belongs to the event loop that answers the calls."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, method: str, called: object) -> "CallTrace":
        """Of a call that arrives, in the task that answers it; `called` is its context."""
        begun = self._begin(method, called)
        EXEMPLAR.set(begun.exemplar)
        return begun

    def _begin(self, method: str, called: object) -> "CallTrace":
        metadata: Metadata = called.invocation_metadata() or ()  # type: ignore[attr-defined]
        parent = _PROPAGATOR.extract(_carried(metadata), _NOTHING)
        if hasattr(called, "span_facts"):  # to ask a protocol would take longer than all else here
            over_http = cast("OverHttp", called)
            name, attributes = over_http.span_facts()
            span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
            begun = CallTrace(self._tracer, span, awaits_answer=True)
            over_http.traced(begun)
            return begun
        name = _FULL_NAMES[method]
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}
        return CallTrace(self._tracer, self._tracer.start_span(name, parent, SpanKind.SERVER, attributes))


class CallTrace:
    """A call's span while it goes on; see `Trace`."""

    __slots__ = ("_awaits_answer", "_slowest", "_span", "_tracer", "exemplar", "model", "trace_id")

    def __init__(self, tracer: Tracer, span: trace.Span, *, awaits_answer: bool = False) -> None:
        """With `awaits_answer` it does not end with its call, but with the HTTP response."""
        told = span.get_span_context()
        self._tracer = tracer
        self._span = span
        self._slowest: _Took | None = None
        self._awaits_answer = awaits_answer
        self.model = ""
        """The name of the one that answered."""
        self.trace_id = trace.format_trace_id(told.trace_id)
        self.exemplar: dict[str, str] | None = None
        """For a histogram, of a trace that somebody will find."""
        if told.trace_flags.sampled:
            self.exemplar = {"trace_id": self.trace_id, "span_id": trace.format_span_id(told.span_id)}

    def note(self, response: pb.ClassifyResponse) -> None:
        timing = response.timing
        if timing.batch_size:
            self.model = response.model.name
            took = (timing.decode_us / 1e6, timing.queue_us / 1e6, timing.compute_us / 1e6)
            self._note(*took, timing.batch_size)

    def note_all(self, model: str, images: Sequence[Classified]) -> None:
        self.model = model
        for image in images:
            self._note(image.decode_s, image.queue_s, image.compute_s, image.batch_size)

    def _note(self, decode_s: float, queue_s: float, compute_s: float, batch_size: int) -> None:
        seconds = decode_s + queue_s + compute_s
        if self._slowest is None or seconds > self._slowest.seconds:
            self._slowest = _Took(seconds, decode_s, queue_s, compute_s, batch_size, time.time_ns())

    def end(self, call: Call, code: str, error: Exception | None) -> None:
        span = self._span
        if span.is_recording():
            span.set_attributes(_facts(call, self.model))
            if self._slowest is not None:
                self._tell(self._slowest)
            if not self._awaits_answer:
                span.set_attribute("rpc.response.status_code", code)
            if code in FAULTS:
                span.set_status(StatusCode.ERROR, str(error) if error else code)
                span.set_attribute("error.type", code)
            if error is not None and not isinstance(error, (Refused, FoveaError)):
                span.record_exception(error)
        if not self._awaits_answer:
            span.end()

    def answered_with(self, status: int | None) -> None:
        """HTTP's; None where the caller was gone."""
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if status is not None and status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _tell(self, took: _Took) -> None:
        """The children, back from when the answer was there: by then only their lengths are known.

        A CPU's workers decode what they took from the queue; on a GPU's server it is the other way round.
        """
        parent = trace.set_span_in_context(self._span, _NOTHING)
        end_ns = took.ended_ns
        children = {"compute": took.compute_s, "decode": took.decode_s, "queue": took.queue_s}
        for name, seconds in children.items():
            begin_ns = end_ns - int(seconds * 1e9)
            if seconds:
                child = self._tracer.start_span(name, parent, start_time=begin_ns)
                child.end(end_ns)
            end_ns = begin_ns


def _facts(call: Call, model: str) -> dict[str, str | int]:
    """What is known of it at its end; of what there is nothing, nothing is said."""
    facts: dict[str, str | int] = {
        "client.address": address_of(call.peer()),
        "fovea.request_id": call.request_id,
        "fovea.caller": call.caller,
        "fovea.model.name": model,
        "fovea.model.version": call.version,
        "fovea.images": call.images,
        "fovea.batch_size": call.batch_size,
    }
    return {name: value for name, value in facts.items() if value}


def _carried(metadata: Metadata) -> dict[str, list[str]]:
    """W3C's headers of a call. Of two parents none is believed."""
    found: dict[str, list[str]] = {}
    for name, value in metadata:
        if name in _CARRIED and isinstance(value, str):
            found.setdefault(name, []).append(value)
    return found if len(found.get("traceparent", ())) == 1 else {}
