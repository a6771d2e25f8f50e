"""One protocol, two servers, the same answers: every test here runs on NVIDIA's server and on ours."""

import queue
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc as oip
from tritonclient.grpc import service_pb2, service_pb2_grpc

from fovea.images.preprocess import decode_image
from tests.triton.calls import classes, image_input, infer, picture, refusal
from tests.triton.conftest import Digits

NOT_AN_IMAGE = b"this is no image"


def expected(digits: Digits, images: Sequence[bytes]) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Fovea's own probabilities and logits, without a server."""
    classifier = digits.classifier
    spec = classifier.bundle.contract.preprocess
    both = classifier.classify_with_logits(np.stack([decode_image(image, spec) for image in images]))
    return both[:, 0], both[:, 1]


def test_server_and_model_are_live_and_ready(client: oip.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("digits", "7")
    assert not client.is_model_ready("cats")


def test_server_says_what_it_can(client: oip.InferenceServerClient) -> None:
    metadata = client.get_server_metadata()
    assert metadata.name
    assert metadata.version
    assert {"classification", "model_repository", "schedule_policy", "statistics"} <= set(metadata.extensions)


def test_model_says_what_it_takes_and_gives(client: oip.InferenceServerClient) -> None:
    metadata = client.get_model_metadata("digits")
    assert (metadata.name, list(metadata.versions)) == ("digits", ["1"])
    tensors = [(t.name, t.datatype, list(t.shape)) for t in (*metadata.inputs, *metadata.outputs)]
    assert tensors == [
        ("image", "BYTES", [-1, 1]),
        ("probabilities", "FP32", [-1, 10]),
        ("logits", "FP32", [-1, 10]),
        ("label", "BYTES", [-1, 1]),
    ]


def test_repository_lists_the_model(client: oip.InferenceServerClient) -> None:
    listed = {(m.name, m.version): m.state for m in client.get_model_repository_index().models}
    assert listed["digits", "1"] == "READY"


def test_answers_are_foveas_own(client: oip.InferenceServerClient, digits: Digits) -> None:
    images = digits.images[:64]
    assert len(images) == 64
    answer = infer(client, "digits", images)
    probabilities, logits = expected(digits, images)
    np.testing.assert_allclose(answer.as_numpy("probabilities"), probabilities, rtol=0, atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("logits"), logits, rtol=0, atol=1e-5)
    labels = [digits.classifier.labels[best].encode() for best in probabilities.argmax(axis=1)]
    assert answer.as_numpy("label").tolist() == [[label] for label in labels]
    assert len(set(labels)) > 5


def test_calls_side_by_side_each_get_their_own_answer(
    client: oip.InferenceServerClient, digits: Digits
) -> None:
    images = digits.images[:48]
    groups = [images[start : start + size] for start, size in ((0, 1), (1, 7), (8, 30), (38, 2), (40, 8))]
    answers: queue.Queue[tuple[int, Any, Any]] = queue.Queue()
    for number, group in enumerate(groups):
        client.async_infer(
            "digits",
            image_input(group),
            lambda result, error, number=number: answers.put((number, result, error)),
        )
    for _ in groups:
        number, result, error = answers.get(timeout=30)
        assert error is None
        probabilities, _ = expected(digits, groups[number])
        np.testing.assert_allclose(result.as_numpy("probabilities"), probabilities, rtol=0, atol=1e-6)


def test_any_kind_of_image_is_taken_as_it_came(client: oip.InferenceServerClient, digits: Digits) -> None:
    images = [picture(index) for index in range(6)]
    probabilities, _ = expected(digits, images)
    answer = infer(client, "digits", images)
    np.testing.assert_allclose(answer.as_numpy("probabilities"), probabilities, rtol=0, atol=1e-6)


def test_bad_image_is_named_and_other_calls_are_answered(
    client: oip.InferenceServerClient, digits: Digits
) -> None:
    good, bad = digits.images[:5], [*digits.images[:3], NOT_AN_IMAGE, digits.images[4]]
    answers: queue.Queue[tuple[bool, Any, Any]] = queue.Queue()
    for number in range(10):
        is_bad = number % 2 == 1
        client.async_infer(
            "digits",
            image_input(bad if is_bad else good),
            lambda result, error, is_bad=is_bad: answers.put((is_bad, result, error)),
        )
    for _ in range(10):
        is_bad, result, error = answers.get(timeout=30)
        if is_bad:
            assert str(error.status()) == "StatusCode.INVALID_ARGUMENT"
            assert error.message().startswith("image 3: the bytes are not an image in one of JPEG")
        else:
            assert error is None
            assert len(result.as_numpy("label")) == 5


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "image 0: the image is empty (0 bytes)"), (picture(0)[:60], "image 0: the ")],
    ids=["empty", "cut short"],
)
def test_what_is_wrong_with_an_image_is_said(
    client: oip.InferenceServerClient, data: bytes, reason: str
) -> None:
    status, message = refusal(infer, client, "digits", [data])
    assert status == "INVALID_ARGUMENT"
    assert message.startswith(reason)


@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_best_classes_are_told_with_value_index_and_label(
    client: oip.InferenceServerClient, digits: Digits, output: str
) -> None:
    images = digits.images[:4]
    rows = expected(digits, images)[0 if output == "probabilities" else 1]
    classification = infer(client, "digits", images, outputs=classes(output, 3)).as_numpy(output)
    assert classification.shape == (4, 3)
    for row, best in zip(rows, classification, strict=True):
        values, indices, labels = zip(*(entry.decode().split(":") for entry in best), strict=True)
        assert [int(index) for index in indices] == np.argsort(-row, kind="stable")[:3].tolist()
        np.testing.assert_allclose([float(value) for value in values], np.sort(row)[::-1][:3], atol=2e-6)
        assert list(labels) == [digits.classifier.labels[int(index)] for index in indices]


def test_more_classes_than_there_are_gives_all(client: oip.InferenceServerClient, digits: Digits) -> None:
    answer = infer(client, "digits", digits.images[:2], outputs=classes("probabilities", 99))
    assert answer.as_numpy("probabilities").shape == (2, 10)


def test_outputs_that_are_asked_for_are_given_alone(
    client: oip.InferenceServerClient, digits: Digits
) -> None:
    answer = infer(client, "digits", digits.images[:2], outputs=[oip.InferRequestedOutput("label")])
    assert [output.name for output in answer.get_response().outputs] == ["label"]


def test_answer_says_which_request_model_and_version(
    client: oip.InferenceServerClient, digits: Digits
) -> None:
    response = infer(client, "digits", digits.images[:1], request_id="call-7").get_response()
    assert (response.id, response.model_name, response.model_version) == ("call-7", "digits", "1")


def test_typed_contents_are_as_good_as_raw_ones(client: oip.InferenceServerClient, digits: Digits) -> None:
    request = service_pb2.ModelInferRequest(model_name="digits")
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[2, 1])
    tensor.contents.bytes_contents.extend(digits.images[:2])
    stub = service_pb2_grpc.GRPCInferenceServiceStub(client._channel)
    answer = oip.InferResult(stub.ModelInfer(request))
    probabilities, _ = expected(digits, digits.images[:2])
    np.testing.assert_allclose(answer.as_numpy("probabilities"), probabilities, rtol=0, atol=1e-6)


def test_statistics_count_the_images(client: oip.InferenceServerClient, digits: Digits) -> None:
    def counted() -> int:
        (model,) = client.get_inference_statistics("digits").model_stats
        assert (model.name, model.version) == ("digits", "1")
        return int(model.inference_count)

    before = counted()
    infer(client, "digits", digits.images[:5])
    assert counted() == before + 5


def test_both_priorities_are_answered(client: oip.InferenceServerClient, digits: Digits) -> None:
    for priority in (1, 2):
        assert infer(client, "digits", digits.images[:1], priority=priority).as_numpy("label").shape == (1, 1)


def test_timeout_that_is_over_is_an_error(client: oip.InferenceServerClient, digits: Digits) -> None:
    status, _ = refusal(infer, client, "digits", digits.images[:1], timeout=1)
    assert status in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
    assert infer(client, "digits", digits.images[:1], timeout=30_000_000).as_numpy("label").shape == (1, 1)


def tensor(name: str, shape: list[int], datatype: str, values: Any) -> list[oip.InferInput]:
    given = oip.InferInput(name, shape, datatype)
    given.set_data_from_numpy(values)
    return [given]


WORDS = np.array([[b"one", b"two"]], dtype=np.object_)
WRONG = {
    "model": ("NOT_FOUND", "cats", "", image_input([picture(0)]), "cats"),
    "version": ("NOT_FOUND", "digits", "7", image_input([picture(0)]), "7"),
    "shape": ("INVALID_ARGUMENT", "digits", "", tensor("image", [1, 2], "BYTES", WORDS), "[1,2]"),
    "datatype": (
        "INVALID_ARGUMENT",
        "digits",
        "",
        tensor("image", [1, 1], "FP32", np.zeros((1, 1), np.float32)),
        "BYTES",
    ),
    "input": ("INVALID_ARGUMENT", "digits", "", tensor("picture", [1, 2], "BYTES", WORDS), "picture"),
    "no image": (
        "INVALID_ARGUMENT",
        "digits",
        "",
        tensor("image", [0, 1], "BYTES", np.zeros((0, 1), np.object_)),
        "image",
    ),
    "missing input": ("INVALID_ARGUMENT", "digits", "", [], "input"),
    "too many": ("INVALID_ARGUMENT", "digits", "", image_input([picture(0)] * 65), "64"),
}
"""What is wrong -> the status, the call, and what the message names."""


@pytest.mark.parametrize("what", WRONG)
def test_wrong_call_gets_its_status_and_a_message(client: oip.InferenceServerClient, what: str) -> None:
    expected_status, model, version, inputs, named = WRONG[what]
    status, message = refusal(client.infer, model, inputs, model_version=version)
    assert status == expected_status
    assert named in message.replace(", ", ",")


def test_output_that_is_not_there_is_named(client: oip.InferenceServerClient, digits: Digits) -> None:
    outputs = [oip.InferRequestedOutput("boxes")]
    status, message = refusal(infer, client, "digits", digits.images[:1], outputs=outputs)
    assert status == "INVALID_ARGUMENT"
    assert "boxes" in message
