import json
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import tiny
from tests.rpc import health_stub
from tests.servers import ServerProcess, held_up, running_server

IMAGES = 6
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("service", ["", "live", "fovea.v1.Classifier"])
def test_health_is_serving_on_both_ports(server: ServerProcess, service: str) -> None:
    assert health(server.target, service) == SERVING
    assert health(server.health_target, service) == SERVING


def test_health_on_the_port_for_probes_knows_no_other_service_and_is_not_watched(
    server: ServerProcess,
) -> None:
    with grpc.insecure_channel(server.health_target) as channel:
        stub = health_stub(channel)
        with pytest.raises(grpc.RpcError) as unknown:
            stub.Check(health_pb2.HealthCheckRequest(service="another"), timeout=30)
        with pytest.raises(grpc.RpcError) as watched:
            next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=30))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert watched.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert not any("Traceback" in line for line in server.stderr)


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    expected = {"fovea.v1.Classifier", "inference.GRPCInferenceService", "grpc.health.v1.Health"}
    assert expected <= set(services)


def test_metrics_tell_what_was_served(tiny_models: Path) -> None:
    with running_server(tiny_models) as server, grpc.insecure_channel(server.target) as channel:
        stub = ClassifierStub(channel)
        stub.Classify(pb.ClassifyRequest(image=tiny.picture("red")), timeout=30)
        with pytest.raises(grpc.RpcError):
            stub.Classify(pb.ClassifyRequest(image=b"broken"), timeout=30)
        page = metrics(server)
    for line in (
        'fovea_requests_total{code="OK",method="Classify"} 1.0',
        'fovea_requests_total{code="INVALID_ARGUMENT",method="Classify"} 1.0',
        'fovea_refused_total{reason="not_an_image"} 1.0',
        'fovea_predictions_total{label="red"} 1.0',
        "fovea_abstained_total 0.0",
        "fovea_decode_seconds_count 1.0",
        "fovea_queue_seconds_count 1.0",
        "fovea_compute_seconds_count 1.0",
        "fovea_batch_images_sum 1.0",
        "fovea_confidence_ratio_count 1.0",
        "fovea_queued_images 0.0",
        "fovea_inflight_images 0.0",
        "fovea_inflight_bytes 0.0",
    ):
        assert line in page
    assert any(line.startswith('fovea_model_info{digest="') for line in page)


def test_debug_log_has_a_line_for_each_call(server: ServerProcess, stub: ClassifierStub) -> None:
    stub.Classify(pb.ClassifyRequest(image=tiny.picture("red"), request_id="seen-in-log"), timeout=30)
    entry = call_of(server, "seen-in-log")
    assert (entry["method"], entry["code"]) == ("Classify", "OK")
    assert (entry["peer"], entry["images"], entry["model_version"]) == ("127.0.0.1", 1, 1)


def test_debug_log_says_which_compute_process_is_how_far(server: ServerProcess) -> None:
    assert server.ready
    warm = [json.loads(line) for line in server.stderr if '"the model is warm"' in line]
    assert len({line["pid"] for line in warm}) == 2, "one a core, of the two that the server has"


def test_call_that_its_caller_waits_no_longer_for_is_counted_by_why(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.target) as channel, held_up(server):
        stub = ClassifierStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.ClassifyBatch(batch("deadline"), timeout=0.3)
        assert call_of(server, "deadline")["code"] == "DEADLINE_EXCEEDED"
        given_up = stub.ClassifyBatch.future(batch("given up"), timeout=30)
        wait_until_in_flight(server)
        given_up.cancel()
        assert call_of(server, "given up")["code"] == "CANCELLED"


def call_of(server: ServerProcess, request_id: str) -> dict[str, Any]:
    while (entry := server.wait_for("call"))["request_id"] != request_id:
        pass
    return entry


def batch(request_id: str) -> pb.ClassifyBatchRequest:
    return pb.ClassifyBatchRequest(images=[tiny.picture("red")] * IMAGES, request_id=request_id)


def wait_until_in_flight(server: ServerProcess) -> None:
    while f"fovea_inflight_images {IMAGES}.0" not in metrics(server):
        pass


def health(target: str, service: str) -> int:
    with grpc.insecure_channel(target) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return health_stub(channel).Check(request, timeout=30).status


def metrics(server: ServerProcess) -> list[str]:
    with urllib.request.urlopen(server.metrics_url, timeout=30) as page:
        return str(page.read().decode()).splitlines()
