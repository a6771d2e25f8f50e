"""A stand-in for a collector of OpenTelemetry: takes spans over HTTP, and keeps them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

PATIENCE_S: Final = 30


@dataclass(frozen=True)
class Seen:
    """A span that came."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    """Empty where it has none."""
    kind: str
    status: str
    """UNSET, OK or ERROR."""
    message: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    events: tuple[str, ...]


class Collector:
    """What came so far. May be asked from any thread."""

    def __init__(self) -> None:
        self.status: Callable[[], int] = lambda: 200
        """That it answers with."""
        self._spans: list[Seen] = []
        self._more = threading.Condition()

    def take(self, request: pb.ExportTraceServiceRequest) -> None:
        with self._more:
            self._spans += _seen(request)
            self._more.notify_all()

    def spans(self, trace_id: str | None = None) -> list[Seen]:
        with self._more:
            return [span for span in self._spans if trace_id in (None, span.trace_id)]

    def wait_for(self, is_meant: Callable[[Seen], bool]) -> Seen:
        """The first one of which that is true."""

        def meant() -> list[Seen]:
            return [span for span in self._spans if is_meant(span)]

        with self._more:
            assert self._more.wait_for(meant, PATIENCE_S), [span.name for span in self._spans]
            return meant()[0]

    def of(self, span_id: str) -> Seen:
        """Waits for it."""
        return self.wait_for(lambda span: span.span_id == span_id)

    def children_of(self, span: Seen) -> dict[str, Seen]:
        """By name. A parent comes after its children, or with them."""
        return {each.name: each for each in self.spans(span.trace_id) if each.parent == span.span_id}


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector, and what OTEL_EXPORTER_OTLP_ENDPOINT says of it."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = collector.status() if self.path == "/v1/traces" else 404
            if status == 200:
                collector.take(pb.ExportTraceServiceRequest.FromString(body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def _seen(request: pb.ExportTraceServiceRequest) -> Iterator[Seen]:
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=service,
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    message=span.status.message,
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    attributes=_values(span.attributes),
                    events=tuple(event.name for event in span.events),
                )


def _values(attributes: "Any") -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")
