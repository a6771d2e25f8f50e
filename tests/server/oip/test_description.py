"""What the Open Inference Protocol says of the server and its model."""

import tomllib
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fovea.model.bundle import ModelBundle
from fovea.oip import open_inference_pb2 as pb
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests import tiny
from tests.rpc import call_of, health_stub
from tests.server.oip_calls import PATIENCE_S, of_images

Inference = GRPCInferenceServiceStub
ROOT = Path(__file__).parents[3]


def test_the_server_is_live_and_ready(inference: Inference) -> None:
    assert inference.ServerLive(pb.ServerLiveRequest(), timeout=PATIENCE_S).live
    assert inference.ServerReady(pb.ServerReadyRequest(), timeout=PATIENCE_S).ready


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("tiny", "", True),
        ("tiny", "1", True),
        ("tiny_onnx", "1", True),
        ("tiny", "9", False),
        ("tiny_onnx_onnx", "", False),
        ("", "", False),
    ],
)
def test_the_model_is_ready_under_both_names(
    inference: Inference, name: str, version: str, ready: bool
) -> None:
    request = pb.ModelReadyRequest(name=name, version=version)
    assert inference.ModelReady(request, timeout=PATIENCE_S).ready is ready


def test_the_server_says_its_name_version_and_extensions(inference: Inference) -> None:
    metadata = inference.ServerMetadata(pb.ServerMetadataRequest(), timeout=PATIENCE_S)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (metadata.name, metadata.version) == ("fovea", project["version"])
    assert {"classification", "statistics", "schedule_policy"} <= set(metadata.extensions)


def tensors(metadata: pb.ModelMetadataResponse) -> dict[str, tuple[str, list[int]]]:
    return {t.name: (t.datatype, list(t.shape)) for t in (*metadata.inputs, *metadata.outputs)}


OUTPUTS = {
    "probabilities": ("FP32", [-1, 3]),
    "logits": ("FP32", [-1, 3]),
    "label": ("BYTES", [-1, 1]),
    "distance": ("FP32", [-1, 1]),
    "unknown": ("BOOL", [-1, 1]),
    "label_set": ("BOOL", [-1, 3]),
    "embedding": ("FP32", [-1, 3]),
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("tiny", {"image": ("BYTES", [-1, 1])}), ("tiny_onnx", {"pixels": ("UINT8", [-1, 16, 16, 3])})],
)
def test_metadata_tells_inputs_and_outputs(
    inference: Inference, tiny_bundle: ModelBundle, name: str, expected: dict[str, object]
) -> None:
    metadata = inference.ModelMetadata(pb.ModelMetadataRequest(name=name), timeout=PATIENCE_S)
    assert (metadata.name, list(metadata.versions), metadata.platform) == (name, ["1"], "onnxruntime_onnx")
    assert tensors(metadata) == expected | OUTPUTS
    assert metadata.properties["digest"] == tiny_bundle.digest
    assert metadata.properties["preprocess_digest"] == tiny.SPEC.digest


def test_the_configuration_tells_what_a_batch_may_be(inference: Inference) -> None:
    request = pb.ModelConfigRequest(name="tiny_onnx", version="1")
    config = inference.ModelConfig(request, timeout=PATIENCE_S).config
    assert (config.name, config.max_batch_size, config.backend) == ("tiny_onnx", 64, "onnxruntime")
    (pixels,) = config.input
    assert (pixels.name, pixels.data_type, list(pixels.dims)) == ("pixels", pb.TYPE_UINT8, [16, 16, 3])
    assert {output.name: list(output.dims) for output in config.output} == {
        name: shape[1:] for name, (_, shape) in OUTPUTS.items()
    }
    assert config.WhichOneof("scheduling_choice") == "dynamic_batching"


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
@pytest.mark.parametrize(
    ("name", "version", "code"),
    [
        ("resnet", "", grpc.StatusCode.NOT_FOUND),
        ("tiny", "9", grpc.StatusCode.NOT_FOUND),
        ("tiny", "newest", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_another_model_or_version_is_not_described(
    inference: Inference, method: str, name: str, version: str, code: grpc.StatusCode
) -> None:
    request = getattr(pb, f"{method}Request")(name=name, version=version)
    with pytest.raises(grpc.RpcError) as raised:
        getattr(inference, method)(request, timeout=PATIENCE_S)
    assert call_of(raised.value).code() is code


def test_statistics_are_of_both_names_where_none_is_given(inference: Inference) -> None:
    inference.ModelInfer(of_images(), timeout=PATIENCE_S)
    statistics = inference.ModelStatistics(pb.ModelStatisticsRequest(), timeout=PATIENCE_S).model_stats
    assert [one.name for one in statistics] == ["tiny", "tiny_onnx"]
    before = statistics[0].inference_stats.success
    inference.ModelInfer(of_images(), timeout=PATIENCE_S)
    (one,) = inference.ModelStatistics(pb.ModelStatisticsRequest(name="tiny"), timeout=PATIENCE_S).model_stats
    assert one.inference_stats.success.count == before.count + 1
    assert one.inference_stats.success.ns > before.ns


def test_health_knows_the_service(channel: grpc.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService")
    answer = health_stub(channel).Check(request, timeout=PATIENCE_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
