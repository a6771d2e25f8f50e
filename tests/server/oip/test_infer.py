"""What ModelInfer answers to requests as they should be."""

from collections.abc import Callable

import numpy as np
import pytest

from fovea.model.classifier import Classifier
from fovea.oip import open_inference_pb2 as pb
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1 import classify_pb2
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.errors import FieldInvalid
from server.oip.outputs import Wanted
from tests import tiny
from tests.server.oip_calls import (
    IMAGES,
    PATIENCE_S,
    crops_of,
    numbers,
    of_images,
    of_pixels,
    of_typed_images,
    of_typed_pixels,
    texts,
    wanting,
    with_parameter,
)

Inference = GRPCInferenceServiceStub
WAYS: dict[str, Callable[[list[bytes]], pb.ModelInferRequest]] = {
    "raw images": of_images,
    "typed images": of_typed_images,
    "raw pixels": lambda images: of_pixels(crops_of(images)),
    "typed pixels": lambda images: of_typed_pixels(crops_of(images)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("images", [IMAGES[:1], IMAGES * 5], ids=["one image", "many images"])
def test_answers_are_the_models_own_to_the_bit(
    inference: Inference, tiny_classifier: Classifier, way: str, images: list[bytes]
) -> None:
    expected = tiny_classifier.classify_with_logits(crops_of(images))
    response = inference.ModelInfer(WAYS[way](images), timeout=PATIENCE_S)
    np.testing.assert_array_equal(numbers(response, "probabilities"), expected[:, 0])
    np.testing.assert_array_equal(numbers(response, "logits"), expected[:, 1])
    assert texts(response, "label") == [[label] for label in (tiny.LABELS * 5)[: len(images)]]


def test_answers_are_those_of_classify_to_the_bit(inference: Inference, stub: ClassifierStub) -> None:
    response = inference.ModelInfer(wanting(of_images(), "probabilities"), timeout=PATIENCE_S)
    for image, row in zip(IMAGES, numbers(response, "probabilities"), strict=True):
        answer = stub.Classify(classify_pb2.ClassifyRequest(image=image, top_k=3), timeout=PATIENCE_S)
        assert {p.index: np.float32(p.probability) for p in answer.predictions} == dict(enumerate(row))


def test_images_may_come_in_one_dimension(inference: Inference) -> None:
    request = of_images()
    request.inputs[0].shape[:] = [3]
    assert texts(inference.ModelInfer(request, timeout=PATIENCE_S), "label") == [["red"], ["green"], ["blue"]]


def test_all_outputs_come_where_none_is_named(inference: Inference) -> None:
    response = inference.ModelInfer(of_images(), timeout=PATIENCE_S)
    shapes = {output.name: list(output.shape) for output in response.outputs}
    assert shapes == {"probabilities": [3, 3], "logits": [3, 3], "label": [3, 1]}


def test_outputs_come_in_the_order_in_which_they_are_named(inference: Inference) -> None:
    request = wanting(of_images(), "label", "probabilities")
    response = inference.ModelInfer(request, timeout=PATIENCE_S)
    assert [output.name for output in response.outputs] == ["label", "probabilities"]


def test_the_response_says_which_model_answered_which_request(inference: Inference) -> None:
    response = inference.ModelInfer(of_images(id="call-17"), timeout=PATIENCE_S)
    assert (response.model_name, response.model_version, response.id) == ("tiny", "1", "call-17")
    response = inference.ModelInfer(of_pixels(crops_of(IMAGES), model_version="1"), timeout=PATIENCE_S)
    assert (response.model_name, response.model_version, response.id) == ("tiny_onnx", "1", "")


def test_the_response_says_what_the_call_took(inference: Inference) -> None:
    took = inference.ModelInfer(of_images(), timeout=PATIENCE_S).parameters
    assert took["decode_us"].int64_param > 0
    assert took["compute_us"].int64_param > 0
    assert took["queue_us"].int64_param >= 0
    assert 1 <= took["batch_size"].int64_param <= 16


def test_pixels_take_no_decoding(inference: Inference) -> None:
    took = inference.ModelInfer(of_pixels(crops_of(IMAGES)), timeout=PATIENCE_S).parameters
    assert took["decode_us"].int64_param == 0


@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_classification_gives_the_best_classes_by_value_index_and_label(
    inference: Inference, tiny_classifier: Classifier, output: str
) -> None:
    response = inference.ModelInfer(wanting(of_images(), output, classification=2), timeout=PATIENCE_S)
    rows = tiny_classifier.classify_with_logits(crops_of(IMAGES))[:, 0 if output == "probabilities" else 1]
    expected = [
        [f"{row[index]:.6f}:{index}:{tiny.LABELS[index]}" for index in np.argsort(-row)[:2]] for row in rows
    ]
    assert texts(response, output) == expected


def test_only_outputs_of_numbers_have_best_classes() -> None:
    assert Wanted("logits", 2).best == Wanted("probabilities", 2).best == 2
    with pytest.raises(FieldInvalid, match="classification is of numbers: ask for it with 'probabilities'"):
        Wanted("label", 2)


@pytest.mark.parametrize("count", [3, 4, 2**63 - 1])
def test_classification_of_more_than_there_are_gives_all(inference: Inference, count: int) -> None:
    request = wanting(of_images(IMAGES[:1]), "probabilities", classification=count)
    (row,) = texts(inference.ModelInfer(request, timeout=PATIENCE_S), "probabilities")
    assert [element.split(":")[2] for element in row] == ["red", "blue", "green"]


@pytest.mark.parametrize("priority", [0, 1, 2, 2**63 - 1])
def test_every_priority_is_taken(inference: Inference, priority: int) -> None:
    request = with_parameter(of_images(), "priority", int64_param=priority)
    assert inference.ModelInfer(request, timeout=PATIENCE_S).outputs


@pytest.mark.parametrize(
    "timeout_us", [{"int64_param": 0}, {"int64_param": 10_000_000}, {"uint64_param": 2**64 - 1}], ids=str
)
def test_a_timeout_that_can_be_met_is_met(inference: Inference, timeout_us: dict[str, int]) -> None:
    request = with_parameter(of_images(), "timeout", **timeout_us)
    assert inference.ModelInfer(request, timeout=PATIENCE_S).outputs


@pytest.mark.parametrize(
    "value",
    [{"string_param": "x"}, {"bool_param": True}, {"int64_param": -1}, {"double_param": float("nan")}],
    ids=str,
)
def test_parameters_that_are_not_known_are_ignored(inference: Inference, value: dict[str, object]) -> None:
    request = with_parameter(of_images(), "my_own", **value)
    request.inputs[0].parameters["of_the_input"].MergeFrom(pb.InferParameter(**value))  # type: ignore[arg-type]
    assert inference.ModelInfer(request, timeout=PATIENCE_S).outputs


def test_as_many_images_as_a_call_may_have_are_answered(inference: Inference) -> None:
    response = inference.ModelInfer(of_images((IMAGES * 22)[:64]), timeout=PATIENCE_S)
    assert texts(response, "label") == [[label] for label in (tiny.LABELS * 22)[:64]]
