"""What our server does beyond what both do, called by tritonclient."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient import grpc as oip
from tritonclient import http
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.triton_server import PROJECT_PYTHON
from fovea.images.preprocess import Pixels, decode_image
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from tests.servers import ServerProcess, running_server
from tests.triton import project
from tests.triton.callers import Caller, calling
from tests.triton.calls import classes, infer, picture, refusal

ONLY_ON_DEMAND = ("--watch-interval-s", "0")


@pytest.fixture(scope="module")
def server(tiny_models: Path) -> Iterator[ServerProcess]:
    with running_server(tiny_models, python=str(PROJECT_PYTHON)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[oip.InferenceServerClient]:
    with oip.InferenceServerClient(server.target) as connected:
        yield connected


@pytest.fixture
def over_http(server: ServerProcess) -> Iterator[Caller]:
    with calling("http", server.http_target) as connected:
        yield connected


@pytest.fixture(scope="module")
def classifier(tiny_models: Path) -> Classifier:
    return Classifier(ModelBundle.open(tiny_models / "1"), "cpu", 1)


@pytest.fixture(scope="module")
def crops(classifier: Classifier) -> Pixels:
    spec = classifier.bundle.contract.preprocess
    return np.stack([decode_image(picture(index), spec) for index in range(6)])


def pixels_input(crops: Pixels) -> list[oip.InferInput]:
    tensor = oip.InferInput("pixels", list(crops.shape), "UINT8")
    tensor.set_data_from_numpy(crops)
    return [tensor]


def test_second_name_of_the_model_takes_pixels(client: oip.InferenceServerClient) -> None:
    assert client.is_model_ready("tiny_onnx")
    metadata = client.get_model_metadata("tiny_onnx")
    (taken,) = metadata.inputs
    assert (taken.name, taken.datatype, list(taken.shape)) == ("pixels", "UINT8", [-1, 16, 16, 3])
    every = [*("probabilities", "logits", "label"), *("distance", "unknown", "label_set", "embedding")]
    assert [output.name for output in metadata.outputs] == every


def test_pixels_give_the_answers_of_their_images(
    client: oip.InferenceServerClient, classifier: Classifier, crops: Pixels
) -> None:
    expected = classifier.classify_with_logits(crops)
    answer = client.infer("tiny_onnx", pixels_input(crops))
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected[:, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("logits"), expected[:, 1], rtol=0, atol=1e-5)
    encoded = infer(client, "tiny", [picture(index) for index in range(6)])
    np.testing.assert_array_equal(answer.as_numpy("probabilities"), encoded.as_numpy("probabilities"))
    np.testing.assert_array_equal(answer.as_numpy("label"), encoded.as_numpy("label"))


def test_typed_pixels_are_as_good_as_raw_ones(
    client: oip.InferenceServerClient, classifier: Classifier, crops: Pixels
) -> None:
    request = service_pb2.ModelInferRequest(model_name="tiny_onnx")
    tensor = request.inputs.add(name="pixels", datatype="UINT8", shape=crops.shape)
    tensor.contents.uint_contents.extend(crops.ravel().tolist())
    stub = service_pb2_grpc.GRPCInferenceServiceStub(client._channel)
    answer = oip.InferResult(stub.ModelInfer(request))
    expected = classifier.classify(crops)
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "in JSON"])
def test_pixels_give_the_same_answers_however_they_are_sent_over_http(
    over_http: Caller, classifier: Classifier, crops: Pixels, binary: bool, compression: str | None
) -> None:
    pixels = over_http.tensor("pixels", crops.shape, "UINT8", crops, binary_data=binary)
    answer = over_http.client.infer(
        "tiny_onnx",
        [pixels],
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    expected = classifier.classify_with_logits(crops)
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected[:, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("logits"), expected[:, 1], rtol=0, atol=1e-5)
    assert answer.as_numpy("label").ravel().tolist() == [b"red", b"green", b"blue"] * 2


def test_outputs_may_come_binary_or_in_json(over_http: Caller) -> None:
    image = over_http.images([picture(0)])
    asked = [
        http.InferRequestedOutput("label", binary_data=False),
        http.InferRequestedOutput("probabilities", binary_data=True, class_count=1),
        http.InferRequestedOutput("logits", binary_data=False),
    ]
    answer = over_http.client.infer("tiny", image, outputs=asked)
    assert answer.as_numpy("label").tolist() == [["red"]]
    assert answer.as_numpy("probabilities")[0, 0].decode().endswith(":0:red")
    assert answer.as_numpy("logits").shape == (1, 3)


def test_what_is_not_done_over_http_is_said(over_http: Caller) -> None:
    config = over_http.client.get_model_config("tiny_onnx")
    assert (config["max_batch_size"], config["input"][0]["data_type"]) == (64, "TYPE_UINT8")
    over_http.client.load_model("tiny")
    status, message = over_http.refusal(over_http.client.unload_model, "tiny")
    assert status == "UNIMPLEMENTED"
    assert "models are not unloaded by call" in message
    assert over_http.refusal(over_http.client.get_trace_settings)[0] == "NOT_FOUND"


def test_best_classes_of_pixels_are_told_by_label(client: oip.InferenceServerClient, crops: Pixels) -> None:
    answer = client.infer("tiny_onnx", pixels_input(crops), outputs=classes("probabilities", 1))
    best = [entry.decode().split(":")[1:] for (entry,) in answer.as_numpy("probabilities")]
    assert best == [["0", "red"], ["1", "green"], ["2", "blue"]] * 2


def test_pixels_of_another_size_are_told_the_right_one(
    client: oip.InferenceServerClient, crops: Pixels
) -> None:
    larger = pixels_input(np.repeat(crops, 2, axis=1))
    status, message = refusal(client.infer, "tiny_onnx", larger)
    assert status == "INVALID_ARGUMENT"
    assert "(UINT8 [n,16,16,3], crops that are ready), not [6,32,16,3]" in message


def test_pixels_under_the_name_that_takes_images_are_sent_to_the_other(
    client: oip.InferenceServerClient, crops: Pixels
) -> None:
    status, message = refusal(client.infer, "tiny", pixels_input(crops))
    assert status == "INVALID_ARGUMENT"
    assert "'tiny' takes 'image' (BYTES [n,1], encoded images)" in message
    assert "'pixels' is the input of 'tiny_onnx'" in message


def test_request_is_made_from_what_the_server_says_alone(client: oip.InferenceServerClient) -> None:
    """As a generic client does, which was given an address and nothing else."""
    names = {model.name for model in client.get_model_repository_index().models}
    assert names == {"tiny", "tiny_onnx"}
    for name in names:
        (taken,) = client.get_model_metadata(name).inputs
        most = client.get_model_config(name).config.max_batch_size
        shape = [min(2, most), *taken.shape[1:]]
        tensor = oip.InferInput(taken.name, shape, taken.datatype)
        if taken.datatype == "BYTES":
            tensor.set_data_from_numpy(np.array([[picture(0)], [picture(1)]], dtype=np.object_))
        else:
            tensor.set_data_from_numpy(np.zeros(shape, np.uint8))
        assert client.infer(name, [tensor]).as_numpy("label").shape == (2, 1)


def test_answer_says_what_it_took(client: oip.InferenceServerClient) -> None:
    parameters = infer(client, "tiny", [picture(0), picture(1)]).get_response().parameters
    assert set(parameters) == {"decode_us", "queue_us", "compute_us", "batch_size"}
    assert parameters["decode_us"].int64_param > 0


def test_timeout_is_a_deadline(client: oip.InferenceServerClient) -> None:
    status, _ = refusal(infer, client, "tiny", [picture(0)], timeout=1)
    assert status == "DEADLINE_EXCEEDED"


def test_statistics_are_of_the_name_that_was_called(client: oip.InferenceServerClient, crops: Pixels) -> None:
    def calls(name: str) -> int:
        (model,) = client.get_inference_statistics(name).model_stats
        return int(model.inference_stats.success.count)

    before = calls("tiny"), calls("tiny_onnx")
    client.infer("tiny_onnx", pixels_input(crops))
    assert (calls("tiny"), calls("tiny_onnx")) == (before[0], before[1] + 1)


def test_models_are_not_unloaded_by_call(client: oip.InferenceServerClient) -> None:
    status, message = refusal(client.unload_model, "tiny")
    assert status == "UNIMPLEMENTED"
    assert "models are not unloaded by call" in message
    assert client.is_model_ready("tiny")


def test_load_takes_up_what_was_published_before_it_returns(tmp_path: Path) -> None:
    models = tmp_path / "models" / "tiny"
    project.publish_tiny(models, tmp_path / "first")
    with (
        running_server(models, *ONLY_ON_DEMAND, python=str(PROJECT_PYTHON)) as running,
        oip.InferenceServerClient(running.target) as client,
    ):
        project.publish_tiny(models, tmp_path / "second", gain=3.0)
        client.load_model("tiny")
        assert infer(client, "tiny", [picture(0)]).get_response().model_version == "2"
        project.publish_tiny(models, tmp_path / "third")
        project.change_golden_answers(models / "3")
        status, message = refusal(client.load_model, "tiny")
        assert status == "FAILED_PRECONDITION"
        assert "golden check failed" in message
        listed = {(m.name, m.version): m for m in client.get_model_repository_index().models}
        assert listed["tiny", "2"].state == "READY"
        assert listed["tiny", "3"].state == "UNAVAILABLE"
        assert "golden check failed" in listed["tiny", "3"].reason
