"""What switches tracing on, how a program's run is told, and how little a collector that is away holds up."""

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb

from fovea import tracing
from fovea.errors import DataInvalid, ExtraMissing, SettingsInvalid, Terminated
from tests.collector import Collector, collecting

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of the environment's variables, and of what a test has switched on."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "TRACE"))]:
        monkeypatch.delenv(name)
    yield
    tracing.shut_down(0.0)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as (collector, url):
        monkeypatch.setenv(tracing.ENDPOINT, url)
        yield collector


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {tracing.ENDPOINT: ""},
        {tracing.ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "True"},
        {tracing.ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SERVICE_NAME": "pets"},
    ],
)
def test_is_off_unless_the_environment_says_where_to(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with tracing.run_of("fovea-train", "train"), tracing.span("epoch"):
        tracing.past("step", 1.0)
        assert tracing.tracer() is None
        assert tracing.carried() == {}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        (tracing.ENDPOINT, "collector:4317", f"{tracing.ENDPOINT}: 'collector:4317' should be a URL"),
        (tracing.TRACES_ENDPOINT, "http://", f"{tracing.TRACES_ENDPOINT}: 'http://' should be a URL"),
        (tracing.PROTOCOL, "http/json", f"{tracing.PROTOCOL}: it should be http/protobuf or grpc, not"),
        (tracing.TRACES_PROTOCOL, "thrift", f"{tracing.TRACES_PROTOCOL}: it should be http/protobuf or grpc"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1", "OTEL_...: OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be"),
    ],
)
def test_wrong_variable_is_named(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINT, "http://collector:4318")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as refusal:
        tracing.set_up("fovea-train")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_missing_package_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINT, "http://collector:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ExtraMissing, match=r"OTEL_EXPORTER_OTLP_ENDPOINT needs.*fovea-vision\[tracing\]"):
        tracing.set_up("fovea-train")


def test_run_is_a_span_with_its_parts_as_children(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{PARENT}-01")
    with tracing.run_of("fovea-train", "train", run="r1"):
        with tracing.span("range test"):
            carried = tracing.carried()
        tracing.past("epoch", 2.5, number=1, loss=0.25)
    (run,) = (span for span in collector.spans() if span.name == "train")
    assert (run.service, run.trace_id, run.parent, run.attributes) == (
        "fovea-train",
        TRACE,
        PARENT,
        {"fovea.run": "r1"},
    )
    children = collector.children_of(run)
    assert set(children) == {"range test", "epoch"}
    assert carried == {"TRACEPARENT": f"00-{TRACE}-{children['range test'].span_id}-01"}
    epoch = children["epoch"]
    assert epoch.ended_ns - epoch.began_ns == 2_500_000_000
    assert epoch.attributes == {"fovea.number": 1, "fovea.loss": 0.25}
    assert tracing.tracer() is None


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (DataInvalid("no images in pets"), ()),
        (Terminated("stopped by SIGTERM"), ()),
        (ZeroDivisionError("by nothing"), ("exception",)),
    ],
)
def test_run_that_failed_says_why(
    collector: Collector, error: BaseException, events: tuple[str, ...]
) -> None:
    with (
        pytest.raises(type(error)),
        tracing.run_of("fovea-score", "run"),
        tracing.span("plan"),
    ):
        raise error
    plan, run = collector.spans()
    for span in (plan, run):
        assert (span.status, span.message, span.events) == ("ERROR", str(error), events)
        assert span.attributes == {"error.type": type(error).__name__}


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({"OTEL_SERVICE_NAME": "pets"}, "pets"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=cats,a=b"}, "cats"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b"}, "fovea-score"),
    ],
)
def test_environment_names_the_service(
    collector: Collector, variables: dict[str, str], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with tracing.run_of("fovea-score", "run"):
        pass
    assert [span.service for span in collector.spans()] == [service]


def test_sampler_of_the_environment_holds(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with tracing.run_of("fovea-score", "run"):
        assert int(tracing.carried()["TRACEPARENT"][-2:], 16) % 2 == 0
    assert collector.spans() == []


def test_spans_go_over_grpc_where_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()

    def export(data: bytes, context: grpc.ServicerContext) -> bytes:
        collector.take(pb.ExportTraceServiceRequest.FromString(data))
        return pb.ExportTraceServiceResponse().SerializeToString()

    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        monkeypatch.setenv(tracing.TRACES_ENDPOINT, f"http://127.0.0.1:{port}")
        monkeypatch.setenv(tracing.PROTOCOL, "grpc")
        with tracing.run_of("fovea-score", "run"):
            pass
        assert [span.name for span in collector.spans()] == ["run"]
    finally:
        server.stop(None)


@pytest.mark.parametrize("protocol", tracing.PROTOCOLS)
def test_end_waits_not_long_for_a_collector_that_says_nothing(
    protocol: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv(tracing.ENDPOINT, f"http://user:secret@127.0.0.1:{mute.getsockname()[1]}")
        monkeypatch.setenv(tracing.PROTOCOL, protocol)
        tracing.set_up("fovea-score")
        with tracing.span("run"):
            pass
        began = time.monotonic()
        tracing.shut_down(0.3)
        assert time.monotonic() - began < 2
    (record,) = (record for record in caplog.records if record.message == "the last spans were not sent")
    assert "secret" not in str(vars(record))


def test_collector_that_is_away_is_told_of_once_and_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fovea")
    statuses = iter([401, 401, 200, 200, 503])
    with collecting() as (collector, url):
        collector.status = lambda: next(statuses)
        monkeypatch.setenv(tracing.ENDPOINT, url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
        tracing.set_up("fovea-serve")
        assert tracing._current is not None
        for _ in range(4):
            with tracing.span("call"):
                pass
            tracing._current._provider.force_flush()
    ours = [record for record in caplog.records if record.name == "fovea.span_export"]
    told = [(record.message, vars(record).get("reason")) for record in ours]
    assert told == [
        (
            "spans are not taken, and are lost",
            "Failed to export spans batch code: 401, reason: Unauthorized",
        ),
        ("spans are taken again", None),
    ]
