"""The spans of real servers' calls, as a collector gets them; and servers whose collector is not there."""

import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.collector import Collector, Seen, collecting
from tests.server.http.calls import post
from tests.server.oip_calls import of_images
from tests.servers import ServerProcess, held_up, run_server, running_server

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE[::-1]}-{PARENT}-00"
PATIENCE_S: Final = 30
IMAGE = tiny.picture("red")


class Traced:
    """A server of two fronts, each of which makes spans, and what a collector has got of them."""

    def __init__(self, server: ServerProcess, collector: Collector, channel: grpc.Channel) -> None:
        self.server = server
        self.collector = collector
        self.stub = ClassifierStub(channel)
        self.inference = GRPCInferenceServiceStub(channel)

    def span_of(self, request_id: str) -> Seen:
        return self.collector.wait_for(lambda span: span.attributes.get("fovea.request_id") == request_id)

    def line_of(self, request_id: str) -> dict[str, Any]:
        """Of the log."""
        while (line := self.server.wait_for("call"))["request_id"] != request_id:
            pass
        return line

    def over_http(self, body: bytes = IMAGE, **headers: str) -> int:
        return post(self.server, "/v1/classify", body, **headers).status


@pytest.fixture(scope="module")
def traced(tiny_models: Path) -> Iterator[Traced]:
    with collecting() as (collector, url), pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        flags = ("--fronts", "2", "--access-log-sample", "1", "--max-image-bytes", "65536")
        with (
            running_server(tiny_models, *flags) as server,
            grpc.insecure_channel(server.target) as channel,
        ):
            yield Traced(server, collector, channel)


def test_call_goes_on_with_its_callers_trace_and_has_children(traced: Traced) -> None:
    request = pb.ClassifyRequest(image=IMAGE, request_id="photo-1")
    answer = traced.stub.Classify(request, timeout=PATIENCE_S, metadata=(("traceparent", SAMPLED),))
    span = traced.span_of("photo-1")
    assert (span.name, span.kind, span.service) == ("fovea.v1.Classifier/Classify", "SERVER", "fovea-serve")
    assert (span.trace_id, span.parent, span.status) == (TRACE, PARENT, "UNSET")
    expected = {
        "rpc.system.name": "grpc",
        "rpc.method": "fovea.v1.Classifier/Classify",
        "rpc.response.status_code": "OK",
        "client.address": "127.0.0.1",
        "fovea.request_id": "photo-1",
        "fovea.model.name": "tiny",
        "fovea.model.version": answer.model.version,
        "fovea.images": 1,
        "fovea.batch_size": 1,
    }
    assert span.attributes == expected
    children = traced.collector.children_of(span)
    microseconds = {name: round((child.ended_ns - child.began_ns) / 1000) for name, child in children.items()}
    timing = answer.timing
    assert microseconds == {
        "queue": timing.queue_us,
        "decode": timing.decode_us,
        "compute": timing.compute_us,
    }
    assert children["queue"].ended_ns == children["decode"].began_ns
    assert children["decode"].ended_ns == children["compute"].began_ns
    assert all(
        span.began_ns <= child.began_ns <= child.ended_ns <= span.ended_ns for child in children.values()
    )
    assert traced.line_of("photo-1")["trace_id"] == TRACE


def test_each_way_in_makes_a_span(traced: Traced) -> None:
    image = pb.ClassifyRequest(image=IMAGE)
    asked = pb.ClassifyBatchRequest(images=[IMAGE, b"no image"], request_id="batch")
    traced.stub.ClassifyBatch(asked, timeout=PATIENCE_S)
    assert len(list(traced.stub.ClassifyStream(iter([image] * 3), timeout=PATIENCE_S))) == 3
    traced.inference.ModelInfer(of_images([IMAGE], id="infer"), timeout=PATIENCE_S)
    assert traced.over_http(X_Request_Id="http", traceparent=SAMPLED) == 200
    stream = traced.collector.wait_for(lambda span: span.name == "fovea.v1.Classifier/ClassifyStream")
    spans = {"stream": stream, **{name: traced.span_of(name) for name in ("batch", "infer", "http")}}
    assert {
        way: (span.name, span.attributes["fovea.images"], span.status) for way, span in spans.items()
    } == {
        "stream": ("fovea.v1.Classifier/ClassifyStream", 3, "UNSET"),
        "batch": ("fovea.v1.Classifier/ClassifyBatch", 2, "UNSET"),
        "infer": ("inference.GRPCInferenceService/ModelInfer", 1, "UNSET"),
        "http": ("POST /v1/classify", 1, "UNSET"),
    }
    for span in spans.values():
        assert set(traced.collector.children_of(span)) == {"queue", "decode", "compute"}
        assert span.attributes["fovea.model.name"] == "tiny"
    http = spans["http"]
    assert (http.trace_id, http.parent) == (TRACE, PARENT)
    facts = {name: value for name, value in http.attributes.items() if name.startswith(("http.", "url."))}
    assert facts == {
        "http.request.method": "POST",
        "http.route": "/v1/classify",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/v1/classify",
    }
    assert not any(name.startswith("rpc.") for name in http.attributes)


def test_refusals_are_told_and_are_the_servers_errors_only_where_they_are(traced: Traced) -> None:
    def refused(request: pb.ClassifyRequest, timeout_s: float = PATIENCE_S) -> str:
        with pytest.raises(grpc.RpcError) as refusal:
            traced.stub.Classify(request, timeout=timeout_s)
        return str(refusal.value.code().name)

    assert refused(pb.ClassifyRequest(image=b"x", request_id="no image")) == "INVALID_ARGUMENT"
    assert refused(pb.ClassifyRequest(image=IMAGE, model_version=99, request_id="gone")) == "NOT_FOUND"
    with held_up(traced.server):
        assert refused(pb.ClassifyRequest(image=IMAGE, request_id="late"), 0.3) == "DEADLINE_EXCEEDED"
        late = traced.span_of("late")
        status = traced.over_http(X_Request_Id="http late", X_Timeout_Ms="300")
    assert status == 504
    assert traced.over_http(b"x" * 70_000, X_Request_Id="large") == 413
    spans = {name: traced.span_of(name) for name in ("no image", "gone", "http late", "large")}
    rpc = "rpc.response.status_code"
    assert (late.status, late.attributes[rpc]) == ("ERROR", "DEADLINE_EXCEEDED")
    assert late.attributes["error.type"] == "DEADLINE_EXCEEDED"
    assert (spans["no image"].status, spans["no image"].attributes[rpc]) == ("UNSET", "INVALID_ARGUMENT")
    assert (spans["gone"].status, spans["gone"].attributes[rpc]) == ("UNSET", "NOT_FOUND")
    assert spans["http late"].status == "ERROR"
    assert spans["http late"].attributes["http.response.status_code"] == 504
    assert (spans["large"].status, spans["large"].attributes["http.response.status_code"]) == ("UNSET", 413)
    assert not any(span.events for span in spans.values())


def test_trace_that_its_caller_does_not_sample_is_not_sent_but_is_logged(traced: Traced) -> None:
    request = pb.ClassifyRequest(image=IMAGE, request_id="quiet")
    traced.stub.Classify(request, timeout=PATIENCE_S, metadata=(("traceparent", UNSAMPLED),))
    assert traced.over_http(traceparent=UNSAMPLED) == 200
    assert traced.line_of("quiet")["trace_id"] == TRACE[::-1]
    traced.stub.Classify(pb.ClassifyRequest(image=IMAGE, request_id="loud"), timeout=PATIENCE_S)
    traced.span_of("loud")
    assert traced.collector.spans(TRACE[::-1]) == []


def test_headers_that_name_no_parent_begin_a_trace(traced: Traced) -> None:
    for number, header in enumerate(
        (
            ("traceparent", "00-x-y-01"),
            ("traceparent", SAMPLED + "-" + "x" * 600),
            ("tracestate", "vendor=1"),
        )
    ):
        request = pb.ClassifyRequest(image=IMAGE, request_id=f"odd {number}")
        traced.stub.Classify(request, timeout=PATIENCE_S, metadata=(header,))
        span = traced.span_of(f"odd {number}")
        assert (span.parent, span.trace_id == TRACE) == ("", False), header


def test_histogram_has_the_trace_of_a_call_in_each_bucket(traced: Traced) -> None:
    traced.stub.Classify(pb.ClassifyRequest(image=IMAGE), timeout=PATIENCE_S)
    assert traced.over_http() == 200
    pages = {}
    for kind in ("application/openmetrics-text", "text/plain"):
        asked = urllib.request.Request(traced.server.metrics_url, headers={"Accept": kind})
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as page:
            pages[kind] = page.read().decode()
    series = re.compile(
        r'fovea_request_seconds_bucket{le=".*",method="(.*)"} \S+ '
        r'# {span_id="(\w{16})",trace_id="(\w{32})"} \S+ \S+'
    )
    named = [line for line in pages["application/openmetrics-text"].splitlines() if " # {" in line]
    examples = [found.groups() for line in named if (found := series.fullmatch(line))]
    assert len(examples) == len(named)
    assert {method for method, *_ in examples} >= {"Classify", "HTTP Classify"}
    for _, span_id, trace_id in examples:
        assert traced.collector.of(span_id).trace_id == trace_id
    assert "trace_id" not in pages["text/plain"]


def test_end_of_a_server_sends_what_its_fronts_have_left(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    with collecting() as (collector, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{url}/v1/traces")
        with running_server(tiny_models, "--fronts", "2") as server:
            assert post(server, "/v1/classify", IMAGE).status == 200
            server.send(signal.SIGTERM)
            assert server.exit_code() == 0
        assert "POST /v1/classify" in {span.name for span in collector.spans()}


def test_end_of_a_server_waits_for_no_collector(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes connections and says nothing is worse than one that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        with running_server(tiny_models, "--access-log-sample", "1") as server:
            with grpc.insecure_channel(server.target) as channel:
                ClassifierStub(channel).Classify(pb.ClassifyRequest(image=IMAGE), timeout=PATIENCE_S)
            assert len(server.wait_for("call")["trace_id"]) == 32
            began = time.monotonic()
            server.send(signal.SIGTERM)
            assert server.exit_code() == 0
            assert time.monotonic() - began < 6
    assert "the last spans were not sent" in "".join(server.stderr)


def test_variables_that_cannot_be_right_are_refused_in_one_line(
    tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")
    ended = run_server("--models", str(tiny_models))
    url = "'collector:4317' should be a URL, as http://collector:4318 is one"
    assert (ended.returncode, ended.stderr) == (2, f"error: OTEL_EXPORTER_OTLP_ENDPOINT: {url}\n")
