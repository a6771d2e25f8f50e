"""The SDK of OpenTelemetry as this process uses it. Is loaded where `tracing` is on, and by it alone."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Final, cast

from opentelemetry import context, trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

logger = logging.getLogger(__name__)

_PACKAGES: Final = {"http/protobuf": "http", "grpc": "grpc"}
"""Of the exporters, by protocol."""
_CARRIED: Final = ("traceparent", "tracestate")
"""W3C's headers. In an environment their names are in capitals."""


class SpanExport:
    """Where the spans of this process go, from a thread of its own. May be used from several threads."""

    def __init__(self, service: str, place: str, protocol: str) -> None:
        """Raises ValueError for a variable of OpenTelemetry, ModuleNotFoundError."""
        self.place = place
        self._exporter = _ToldExporter(_exporter_of(protocol), f"{place} ({protocol})")
        self._provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("fovea")
        # From here on it says in many lines what `_ToldExporter` says in one, and what callers send it.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    @contextmanager
    def inside_parent(self, environment: Mapping[str, str]) -> Iterator[None]:
        """Spans without another parent have the one that the environment names, if it does."""
        given = {name: environment[name.upper()] for name in _CARRIED if name.upper() in environment}
        token = context.attach(TraceContextTextMapPropagator().extract(given))
        try:
            yield
        finally:
            context.detach(token)

    def carried(self) -> dict[str, str]:
        """The span that goes on here, as `inside_parent` takes it."""
        given: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(given)
        return {name.upper(): value for name, value in given.items()}

    def note_failure(self, span: trace.Span, error: BaseException, *, is_foreseen: bool) -> None:
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(trace.StatusCode.ERROR, str(error) or type(error).__name__)
        if not is_foreseen:
            span.record_exception(error)

    def end(self) -> None:
        """Sends what is left. Takes 30 s where nobody takes it, unless `give_up` says otherwise."""
        self._provider.shutdown()

    def give_up(self) -> None:
        """Sends no more, as soon as the exporter looks up."""
        self._exporter.shutdown()


class _ToldExporter(SpanExporter):
    """Says once that nobody takes the spans, and once that they are taken again."""

    def __init__(self, exporter: SpanExporter, place: str) -> None:
        self._exporter = exporter
        self._place = place
        self._reasons = _Reasons()
        self._is_away = False
        self._has_ended = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._reasons.first = ""
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away and not self._has_ended.is_set():
            reason = self._reasons.first or "no reason was given"
            logger.warning("spans are not taken, and are lost", extra={"to": self._place, "reason": reason})
        elif self._is_away and not is_away:
            logger.info("spans are taken again", extra={"to": self._place})
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        if not self._has_ended.is_set():
            self._has_ended.set()
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Reasons(logging.Handler):
    """What the exporter says of a batch, in place of its lines in the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first = ""
        exporters = logging.getLogger("opentelemetry.exporter")
        exporters.setLevel(logging.WARNING)
        exporters.propagate = False
        exporters.handlers = [self]

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()


def _exporter_of(protocol: str) -> SpanExporter:
    module = import_module(f"opentelemetry.exporter.otlp.proto.{_PACKAGES[protocol]}.trace_exporter")
    return cast("SpanExporter", module.OTLPSpanExporter())


def _resource(service: str) -> Resource:
    told = Resource.create()
    if str(told.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return told.merge(Resource({SERVICE_NAME: service}))
    return told
