"""Spans of OpenTelemetry, where its own variables say where to; else nothing is loaded, and nothing done.

OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, switches it on. What else the
specification has variables for (headers, certificates, samplers, limits), SDK and exporter read themselves.
A process has one way out for its spans, as it has one log.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fovea import daemons
from fovea.errors import FoveaError, SettingsInvalid, Terminated, extra_missing

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from fovea.span_export import SpanExport

logger = logging.getLogger(__name__)

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
TRACES_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
PROTOCOLS: Final = ("http/protobuf", "grpc")
"""The first one is the specification's own choice where nothing is said."""

END_S: Final = 2.0
"""How long the end of a program waits for the spans that are not sent yet: where nobody takes them, the SDK
would wait for 30 s, all of a pod's grace."""

Value = str | bool | int | float

_current: "SpanExport | None" = None


def set_up(service: str) -> None:
    """`service` is the spans' service.name where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES give none.

    Contacts nobody. Raises SettingsInvalid, and ExtraMissing where the packages are not installed.
    """
    global _current
    if not is_wanted():
        return
    place, protocol = _place(), _protocol()
    try:
        from fovea.span_export import SpanExport

        _current = SpanExport(service, place, protocol)
    except ModuleNotFoundError as error:
        raise extra_missing(error, ENDPOINT, "tracing") from error
    except ValueError as error:
        raise SettingsInvalid(f"the variables of OpenTelemetry, OTEL_...: {error}") from error


def is_wanted() -> bool:
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporters = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")
    is_otlp = "otlp" in (exporter.strip() for exporter in exporters)
    return is_otlp and not is_disabled and bool(os.environ.get(TRACES_ENDPOINT) or os.environ.get(ENDPOINT))


def tracer() -> "Tracer | None":
    """None where spans are not wanted."""
    return None if _current is None else _current.tracer


@contextmanager
def run_of(service: str, name: str, **attributes: Value) -> Iterator[None]:
    """A program's run, as one span; what TRACEPARENT of the environment names is its parent.

    `attributes` are told as `fovea.NAME`. Raises what `set_up` does. Its end takes END_S at most.
    """
    set_up(service)
    if _current is None:
        yield
        return
    try:
        with _current.inside_parent(os.environ), span(name, **attributes):
            yield
    finally:
        shut_down()


def span(name: str, **attributes: Value) -> AbstractContextManager[None]:
    """Around a part of a run. It has failed where an exception leaves it, also that of a signal."""
    return nullcontext() if _current is None else _around(_current, name, attributes)


def past(name: str, seconds: float, **attributes: Value) -> None:
    """A part of a run that ends now."""
    if _current is not None:
        end_ns = time.time_ns()
        begin_ns = end_ns - int(seconds * 1e9)
        _current.tracer.start_span(name, attributes=_named(attributes), start_time=begin_ns).end(end_ns)


def carried() -> dict[str, str]:
    """Variables for a program that is started for what goes on here: its run is part of it."""
    return {} if _current is None else _current.carried()


def shut_down(within_s: float = END_S) -> None:
    """Sends what is not sent yet, if it can be within this time. From here on there are no more spans."""
    global _current
    export, _current = _current, None
    if export is None:
        return
    ending = daemons.begin(export.end)
    _, late = wait([ending], within_s)
    if late:
        export.give_up()
        logger.warning("the last spans were not sent", extra={"to": export.place})


@contextmanager
def _around(export: "SpanExport", name: str, attributes: Mapping[str, Value]) -> Iterator[None]:
    with export.tracer.start_as_current_span(
        name, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    ) as begun:
        try:
            yield
        except BaseException as error:
            export.note_failure(begun, error, is_foreseen=isinstance(error, _FORESEEN))
            raise


def _named(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"fovea.{name}": value for name, value in attributes.items()}


_FORESEEN: Final = (FoveaError, Terminated, KeyboardInterrupt)
"""Whose text says all; of others the traceback is told too."""


def _place() -> str:
    """Raises SettingsInvalid for what is no URL: the exporter would say it of each batch."""
    variable = TRACES_ENDPOINT if os.environ.get(TRACES_ENDPOINT) else ENDPOINT
    url = os.environ[variable]
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsInvalid(f"{variable}: {url!r} should be a URL, as http://collector:4318 is one")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _protocol() -> str:
    """Raises SettingsInvalid."""
    variable = TRACES_PROTOCOL if os.environ.get(TRACES_PROTOCOL) else PROTOCOL
    protocol = os.environ.get(variable) or PROTOCOLS[0]
    if protocol not in PROTOCOLS:
        raise SettingsInvalid(f"{variable}: it should be {' or '.join(PROTOCOLS)}, not {protocol!r}")
    return protocol
