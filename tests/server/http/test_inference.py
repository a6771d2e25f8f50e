"""The Open Inference Protocol over HTTP: the same requests as over gRPC, and the same answers."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import grpc
import pytest
from aiohttp.test_utils import make_mocked_request

from fovea.oip import open_inference_pb2 as pb
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from server.calls.answering import AccessLog, Calls
from server.config import ServeSettings
from server.http.inference import InferenceRoutes
from server.http.uploads import Uploads
from server.oip.service import InferenceService
from server.telemetry.call_metrics import OwnCallMetrics
from tests import tiny
from tests.rpc import call_of
from tests.server.calls.test_malformed import counts
from tests.server.event_loop import in_event_loop
from tests.server.http.rest_calls import (
    Rest,
    as_dict,
    message_as_json,
    tensors_of,
    tensors_of_message,
)
from tests.server.oip_calls import (
    IMAGES,
    PATIENCE_S,
    crops_of,
    of_images,
    of_pixels,
    of_typed_images,
    of_typed_pixels,
    wanting,
    with_parameter,
)
from tests.server.oip_refused import REFUSED
from tests.servers import ServerProcess

Inference = GRPCInferenceServiceStub
PIXELS = crops_of(IMAGES)


@pytest.fixture
def rest(server: ServerProcess) -> Iterator[Rest]:
    connection = Rest(server)
    yield connection
    connection.close()


ANSWERED: dict[str, Callable[[], pb.ModelInferRequest]] = {
    "images": of_images,
    "images as text": of_typed_images,
    "one image": lambda: of_images(IMAGES[:1], model_version="1", id="call-17"),
    "many images": lambda: of_typed_images(IMAGES * 5),
    "pixels": lambda: of_pixels(PIXELS),
    "pixels as numbers": lambda: of_typed_pixels(PIXELS, model_version="1"),
    "outputs in another order": lambda: wanting(of_images(), "label", "logits"),
    "the best classes": lambda: wanting(of_typed_pixels(PIXELS), "logits", "probabilities", classification=2),
    "a priority and a timeout": lambda: with_parameter(
        with_parameter(of_images(), "priority", int64_param=2), "timeout", int64_param=30_000_000
    ),
    "parameters that mean nothing here": lambda: with_parameter(
        with_parameter(of_images(), "share", double_param=0.5), "large", uint64_param=2**64 - 1
    ),
}


@pytest.mark.parametrize("binary", [False, True], ids=["in JSON", "binary"])
def test_answers_are_those_of_grpc_to_the_bit(inference: Inference, rest: Rest, binary: bool) -> None:
    for case, make in ANSWERED.items():
        request = make()
        over_grpc = inference.ModelInfer(request, timeout=PATIENCE_S)
        reply = rest.infer(request, **({"binary_data_output": True} if binary else {}))
        assert reply.status == 200, (case, reply.body)
        assert bool(reply.binary) == binary
        tensors, expected = tensors_of(reply), tensors_of_message(over_grpc)
        assert list(tensors.items()) == list(expected.items()), case
        answer = reply.json
        names = (answer["model_name"], answer["model_version"], answer.get("id", ""))
        assert names == (over_grpc.model_name, over_grpc.model_version, over_grpc.id)
        assert set(answer["parameters"]) == set(over_grpc.parameters)


ONLY_OVER_GRPC = {
    "raw data for an input that is not there": "there its length tells whose it is",
    "a timeout that is no number": "JSON has no such number",
}
SAID_OTHERWISE = {
    "no input": ("body", "there are 8769 bytes behind the JSON that no input's binary_data_size tells"),
    "one input too many": (
        "inputs[1].data",
        "inputs[1] has neither data nor the parameter binary_data_size",
    ),
    "the same input twice": (
        "inputs[1].data",
        "inputs[1] has neither data nor the parameter binary_data_size",
    ),
    "no data": ("inputs[0].data", "inputs[0] has neither data nor the parameter binary_data_size"),
    "raw and typed data": ("inputs[0].data", "inputs[0] has data, and binary_data_size too"),
    "fewer typed images than the shape tells": (
        "inputs[0].data",
        "inputs[0].data must have 4 values, by the shape; it has 3",
    ),
    "more typed pixels than the shape tells": (
        "inputs[0].data",
        "inputs[0].data must have 2304 values, by the shape; it has 2305",
    ),
    "a typed pixel that no byte can hold": ("inputs[0].data", "UINT8 is from 0 to 255, and 256 is not"),
    "pixels as floats": ("inputs[0].data[0]", "inputs[0].data[0] must be a whole number, not 0.5"),
    "an empty timeout": ("parameters.timeout", "parameters.timeout must be text, a number, true or false"),
}


def test_what_grpc_refuses_is_refused_with_the_same_words(rest: Rest) -> None:
    for case in REFUSED.keys() - ONLY_OVER_GRPC.keys():
        make, *blamed = REFUSED[case]
        assert rest.infer(make()).refusal == (400, *SAID_OTHERWISE.get(case, blamed)), case


def test_other_calls_end_as_over_grpc_too(inference: Inference, rest: Rest) -> None:
    requests = {
        404: of_images(model_version="9"),
        400: of_images([IMAGES[0], b"no image"]),
        504: with_parameter(of_images(), "timeout", int64_param=1),
    }
    for status, request in requests.items():
        with pytest.raises(grpc.RpcError) as raised:
            inference.ModelInfer(request, timeout=PATIENCE_S)
        reply = rest.infer(request)
        assert (reply.status, reply.json["code"]) == (status, call_of(raised.value).code().name)
        assert reply.json["error"] == call_of(raised.value).details()
    large = of_images([tiny.large_picture()])
    document, binary = message_as_json(large)
    reply = rest.post_parts("/v2/models/tiny/infer", document, binary, X_Timeout_Ms="5")
    assert (reply.status, reply.json["code"]) == (504, "DEADLINE_EXCEEDED")


def as_numbers(value: Any) -> Any:
    """Of protobuf's own JSON, in which numbers of 64 bits are text."""
    if isinstance(value, dict):
        return {name: as_numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_numbers(each) for each in value]
    return int(value) if isinstance(value, str) and value.lstrip("-").isdecimal() else value


def test_server_and_models_are_described_as_over_grpc(inference: Inference, rest: Rest) -> None:
    assert rest.get("/v2").json == as_dict(inference.ServerMetadata(pb.ServerMetadataRequest()))
    assert rest.get("/v2/health/live").json == {"live": True}
    assert rest.get("/v2/health/ready").json == {"ready": True}
    for name in ("tiny", "tiny_onnx"):
        for version in ("", "1"):
            path = f"/v2/models/{name}" + (f"/versions/{version}" if version else "")
            metadata = inference.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version))
            described = as_numbers(as_dict(metadata)) | {"versions": ["1"]}
            assert rest.get(path).json == described
            config = inference.ModelConfig(pb.ModelConfigRequest(name=name, version=version)).config
            assert rest.get(f"{path}/config").json == as_numbers(as_dict(config))
            assert rest.get(f"{path}/ready").json == {"name": name, "ready": True}
    assert (
        rest.get("/v2/models/cats/ready").status == rest.get("/v2/models/tiny/versions/9/ready").status == 503
    )
    assert (
        rest.get("/v2/models/cats").refusal[0]
        == rest.get("/v2/models/tiny/versions/9/config").refusal[0]
        == 404
    )
    assert rest.get("/v2/models/tiny/versions/newest/stats").refusal[:2] == (400, "version")


def test_statistics_are_of_calls_over_either(inference: Inference, rest: Rest) -> None:
    rest.infer(of_images())
    for path, request in (
        ("/v2/models/stats", pb.ModelStatisticsRequest()),
        ("/v2/models/tiny/stats", pb.ModelStatisticsRequest(name="tiny", version="1")),
    ):
        statistics = as_numbers(as_dict(inference.ModelStatistics(request)))
        assert as_numbers(rest.get(path).json) == statistics
        assert statistics["model_stats"][0]["inference_stats"]["success"]["count"] > 0


def test_the_repository_is_listed_and_a_load_looks_for_versions(rest: Rest) -> None:
    listed = [
        {"name": name, "version": "1", "state": "READY", "reason": ""} for name in ("tiny", "tiny_onnx")
    ]
    assert rest.post("/v2/repository/index").json == listed
    assert rest.post("/v2/repository/index", {"ready": True}).json == listed
    assert rest.post("/v2/repository/models/tiny/load", {"parameters": {}}).json == {}
    refused: dict[str, tuple[bytes | dict[str, Any], int, str]] = {
        "tiny/load": ({"parameters": {"config": "{}"}}, 501, ""),
        "tiny/unload": ({"parameters": {"unload_dependents": False}}, 501, ""),
        "cats/load": (b"", 404, ""),
        "cats/unload": (b"[]", 400, "body"),
        "tiny_onnx/load": ({"parameters": {"share": 0.5}}, 400, "parameters.share"),
    }
    for path, (body, status, field) in refused.items():
        assert rest.post(f"/v2/repository/models/{path}", body).refusal[:2] == (status, field)
    assert rest.post("/v2/repository/index", {"ready": "yes"}).refusal[:2] == (400, "ready")
    assert rest.post("/v2/repository/index", bytes(70_000)).refusal[0] == 413


def test_calls_are_counted_by_themselves(server: ServerProcess, rest: Rest) -> None:
    before = counts(server)
    rest.infer(of_images())
    rest.post("/v2/models/tiny/infer", b"not JSON")
    rest.get("/v2/models/tiny/ready")
    more = counts(server) - before
    for code, method in (("OK", "ModelInfer"), ("INVALID_ARGUMENT", "ModelInfer"), ("OK", "ModelReady")):
        assert more[f'fovea_requests_total{{code="{code}",method="HTTP {method}"}}'] == 1


class NotReady:
    """In place of the service, while there is no model."""

    async def ServerReady(self, request: object, context: object) -> pb.ServerReadyResponse:  # noqa: N802
        return pb.ServerReadyResponse(ready=False)


@in_event_loop
async def test_a_server_that_is_not_ready_is_unavailable() -> None:
    uploads = Uploads(ServeSettings(models="unused"))
    calls = Calls(OwnCallMetrics(None), AccessLog(0))
    routes = InferenceRoutes(cast("InferenceService", NotReady()), calls, uploads)
    reply = await routes.get_ready(make_mocked_request("GET", "/v2/health/ready"))
    assert (reply.status, reply.text) == (503, '{"ready": false}')
