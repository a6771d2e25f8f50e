"""One protocol, two servers, the same answers: every test here runs on NVIDIA's server and on ours.

And by each of tritonclient's two clients, over gRPC and over HTTP.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferResult, service_pb2, service_pb2_grpc

from fovea.images.preprocess import decode_image
from fovea.truth.sets import draws, label_sets
from tests.triton.callers import Caller, calling
from tests.triton.calls import picture
from tests.triton.conftest import Digits, Served

NOT_AN_IMAGE = b"this is no image"


def expected(digits: Digits, images: Sequence[bytes]) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Fovea's own probabilities and logits, without a server."""
    classifier = digits.classifier
    spec = classifier.bundle.contract.preprocess
    both = classifier.classify_with_logits(np.stack([decode_image(image, spec) for image in images]))
    return both[:, 0], both[:, 1]


def test_server_and_model_are_live_and_ready(caller: Caller) -> None:
    assert caller.client.is_server_live()
    assert caller.client.is_server_ready()
    assert caller.client.is_model_ready("digits")
    assert caller.client.is_model_ready("digits", "1")
    assert not caller.client.is_model_ready("digits", "7")
    assert not caller.client.is_model_ready("cats")


def test_server_says_what_it_can(caller: Caller) -> None:
    metadata = caller.server()
    assert metadata["name"]
    assert metadata["version"]
    extensions = {"classification", "model_repository", "schedule_policy", "statistics", "binary_tensor_data"}
    assert extensions <= set(metadata["extensions"])


def test_model_says_what_it_takes_and_gives(caller: Caller, digits: Digits) -> None:
    contract = digits.classifier.bundle.contract
    metadata = caller.model("digits")
    assert (metadata["name"], metadata["versions"]) == ("digits", ["1"])
    tensors = [
        (tensor["name"], tensor["datatype"], [int(size) for size in tensor["shape"]])
        for tensor in (*metadata["inputs"], *metadata["outputs"])
    ]
    assert tensors == [
        ("image", "BYTES", [-1, 1]),
        ("probabilities", "FP32", [-1, 10]),
        ("logits", "FP32", [-1, 10]),
        ("label", "BYTES", [-1, 1]),
        ("distance", "FP32", [-1, 1]),
        ("unknown", "BOOL", [-1, 1]),
        ("label_set", "BOOL", [-1, 10]),
        ("embedding", "FP32", [-1, contract.output_values["embedding"]]),
    ]


def test_both_say_the_same_of_what_the_model_does_not_know(caller: Caller, digits: Digits) -> None:
    contract, images = digits.classifier.bundle.contract, digits.images[:16]
    crops = np.stack([decode_image(image, contract.preprocess) for image in images])
    probabilities, embeddings = digits.classifier.classify_with_embeddings(crops)
    known_classes = digits.classifier.bundle.known_classes()
    novelty, sets = contract.out_of_distribution, contract.prediction_sets
    assert known_classes is not None
    assert novelty is not None
    assert sets is not None
    distances = known_classes.distances(embeddings)
    chosen = label_sets(probabilities, draws(crops), sets.quantile)
    names = ("distance", "unknown", "label_set", "embedding")
    outputs = [output for name in names for output in caller.output(name)]
    answer = caller.client.infer("digits", caller.images(images), outputs=outputs)
    np.testing.assert_allclose(answer.as_numpy("distance")[:, 0], distances, rtol=1e-3, atol=0)
    assert answer.as_numpy("unknown")[:, 0].tolist() == (distances > novelty.threshold).tolist()
    rows = [np.flatnonzero(row).tolist() for row in answer.as_numpy("label_set")]
    assert rows == [sorted(indexes) for indexes in chosen]
    np.testing.assert_allclose(answer.as_numpy("embedding"), embeddings, rtol=0, atol=1e-5)


def test_both_say_of_each_held_out_digit_what_the_bundle_says(served: Served, digits: Digits) -> None:
    """To the bit, as the report, the scorer and our own protocol say it: tests/test_agreement.py."""
    contract, images = digits.classifier.bundle.contract, digits.held_out
    crops = np.stack([decode_image(image, contract.preprocess) for image in images])
    probabilities, embeddings = digits.classifier.classify_with_embeddings(crops)
    known_classes, novelty = digits.classifier.bundle.known_classes(), contract.out_of_distribution
    assert known_classes is not None
    assert novelty is not None
    assert contract.prediction_sets is not None
    sets = np.zeros(probabilities.shape, np.bool_)
    chosen = label_sets(probabilities, draws(crops), contract.prediction_sets.quantile)
    for row, indexes in zip(sets, chosen, strict=True):
        row[indexes] = True
    distances = known_classes.distances(embeddings)[:, None]
    expected = {
        "probabilities": probabilities,
        "label": np.array([[contract.labels[best].encode()] for best in probabilities.argmax(1)], object),
        "distance": distances,
        "unknown": distances > novelty.threshold,
        "label_set": sets,
    }
    with calling("grpc", served.grpc) as caller:
        outputs = [output for name in expected for output in caller.output(name)]
        parts = [images[start : start + 64] for start in range(0, len(images), 64)]
        answers = [caller.infer("digits", part, outputs=outputs) for part in parts]
    assert len(images) > 350
    for name, values in expected.items():
        said = np.concatenate([answer.as_numpy(name) for answer in answers])
        np.testing.assert_array_equal(said, values, name)


def test_repository_lists_the_model(caller: Caller) -> None:
    listed = {(model["name"], model["version"]): model["state"] for model in caller.index()}
    assert listed["digits", "1"] == "READY"


def test_answers_are_foveas_own(caller: Caller, digits: Digits) -> None:
    images = digits.images[:64]
    assert len(images) == 64
    answer = caller.infer("digits", images)
    probabilities, logits = expected(digits, images)
    np.testing.assert_allclose(answer.as_numpy("probabilities"), probabilities, rtol=0, atol=1e-6)
    np.testing.assert_allclose(answer.as_numpy("logits"), logits, rtol=0, atol=1e-5)
    labels = [digits.classifier.labels[best].encode() for best in probabilities.argmax(axis=1)]
    assert answer.as_numpy("label").tolist() == [[label] for label in labels]
    assert len(set(labels)) > 5


def test_calls_side_by_side_each_get_their_own_answer(caller: Caller, digits: Digits) -> None:
    images = digits.images[:48]
    groups = [images[start : start + size] for start, size in ((0, 1), (1, 7), (8, 30), (38, 2), (40, 8))]
    begun = [caller.begin("digits", group) for group in groups]
    for group, result in zip(groups, begun, strict=True):
        probabilities, _ = expected(digits, group)
        np.testing.assert_allclose(result().as_numpy("probabilities"), probabilities, rtol=0, atol=1e-6)


def test_any_kind_of_image_is_taken_as_it_came(caller: Caller, digits: Digits) -> None:
    images = [picture(index) for index in range(6)]
    probabilities, _ = expected(digits, images)
    answer = caller.infer("digits", images)
    np.testing.assert_allclose(answer.as_numpy("probabilities"), probabilities, rtol=0, atol=1e-6)


def test_bad_image_is_named_and_other_calls_are_answered(caller: Caller, digits: Digits) -> None:
    good, bad = digits.images[:5], [*digits.images[:3], NOT_AN_IMAGE, digits.images[4]]
    begun = [caller.begin("digits", images) for images in (good, bad) * 5]
    for number, result in enumerate(begun):
        if number % 2:
            status, message = caller.refusal(result)
            assert status == "INVALID_ARGUMENT"
            assert message.startswith("image 3: the bytes are not an image in one of JPEG")
        else:
            assert len(result().as_numpy("label")) == 5


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "image 0: the image is empty (0 bytes)"), (picture(0)[:60], "image 0: the ")],
    ids=["empty", "cut short"],
)
def test_what_is_wrong_with_an_image_is_said(caller: Caller, data: bytes, reason: str) -> None:
    status, message = caller.refusal(caller.infer, "digits", [data])
    assert status == "INVALID_ARGUMENT"
    assert message.startswith(reason)


@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_best_classes_are_told_with_value_index_and_label(
    caller: Caller, digits: Digits, output: str
) -> None:
    images = digits.images[:4]
    rows = expected(digits, images)[0 if output == "probabilities" else 1]
    classification = caller.infer("digits", images, outputs=caller.output(output, 3)).as_numpy(output)
    assert classification.shape == (4, 3)
    for row, best in zip(rows, classification, strict=True):
        values, indices, labels = zip(*(entry.decode().split(":") for entry in best), strict=True)
        assert [int(index) for index in indices] == np.argsort(-row, kind="stable")[:3].tolist()
        np.testing.assert_allclose([float(value) for value in values], np.sort(row)[::-1][:3], atol=2e-6)
        assert list(labels) == [digits.classifier.labels[int(index)] for index in indices]


def test_more_classes_than_there_are_gives_all(caller: Caller, digits: Digits) -> None:
    answer = caller.infer("digits", digits.images[:2], outputs=caller.output("probabilities", 99))
    assert answer.as_numpy("probabilities").shape == (2, 10)


def test_outputs_that_are_asked_for_are_given_alone(caller: Caller, digits: Digits) -> None:
    answer = caller.infer("digits", digits.images[:2], outputs=caller.output("label"))
    assert [output["name"] for output in caller.response(answer)["outputs"]] == ["label"]


def test_answer_says_which_request_model_and_version(caller: Caller, digits: Digits) -> None:
    response = caller.response(caller.infer("digits", digits.images[:1], request_id="call-7"))
    named = response["id"], response["model_name"], response["model_version"]
    assert named == ("call-7", "digits", "1")


def test_typed_contents_are_as_good_as_raw_ones(served: Served, digits: Digits) -> None:
    request = service_pb2.ModelInferRequest(model_name="digits")
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[2, 1])
    tensor.contents.bytes_contents.extend(digits.images[:2])
    with calling("grpc", served.grpc) as caller:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(caller.client._channel)
        answer = InferResult(stub.ModelInfer(request))
    probabilities, _ = expected(digits, digits.images[:2])
    np.testing.assert_allclose(answer.as_numpy("probabilities"), probabilities, rtol=0, atol=1e-6)


def test_statistics_count_the_images(caller: Caller, digits: Digits) -> None:
    def counted() -> int:
        model = caller.statistics("digits")
        assert (model["name"], model["version"]) == ("digits", "1")
        return int(model["inference_count"])

    before = counted()
    caller.infer("digits", digits.images[:5])
    assert counted() == before + 5


def test_both_priorities_are_answered(caller: Caller, digits: Digits) -> None:
    for priority in (1, 2):
        assert caller.infer("digits", digits.images[:1], priority=priority).as_numpy("label").shape == (1, 1)


def test_timeout_that_is_over_is_an_error(caller: Caller, digits: Digits) -> None:
    status, _ = caller.refusal(caller.infer, "digits", digits.images[:1], timeout=1)
    assert status in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
    assert caller.infer("digits", digits.images[:1], timeout=30_000_000).as_numpy("label").shape == (1, 1)


Inputs = Callable[[Caller], list[Any]]


def tensor(name: str, shape: list[int], datatype: str, values: Any) -> Inputs:
    return lambda caller: [caller.tensor(name, shape, datatype, values)]


def images(*images: bytes) -> Inputs:
    return lambda caller: caller.images(images)


WORDS = np.array([[b"one", b"two"]], dtype=np.object_)
NONE = np.zeros((0, 1), np.object_)
WRONG: dict[str, tuple[str, str, str, Inputs, str]] = {
    "model": ("NOT_FOUND", "cats", "", images(picture(0)), "cats"),
    "version": ("NOT_FOUND", "digits", "7", images(picture(0)), "7"),
    "shape": ("INVALID_ARGUMENT", "digits", "", tensor("image", [1, 2], "BYTES", WORDS), "[1,2]"),
    "datatype": (
        "INVALID_ARGUMENT",
        "digits",
        "",
        tensor("image", [1, 1], "FP32", np.zeros((1, 1), np.float32)),
        "BYTES",
    ),
    "input": ("INVALID_ARGUMENT", "digits", "", tensor("picture", [1, 2], "BYTES", WORDS), "picture"),
    "no image": ("INVALID_ARGUMENT", "digits", "", tensor("image", [0, 1], "BYTES", NONE), "image"),
    "missing input": ("INVALID_ARGUMENT", "digits", "", lambda caller: [], "input"),
    "too many": ("INVALID_ARGUMENT", "digits", "", images(*[picture(0)] * 65), "64"),
}
"""What is wrong -> the status, the call, and what the message names."""


@pytest.mark.parametrize("what", WRONG)
def test_wrong_call_gets_its_status_and_a_message(caller: Caller, what: str) -> None:
    expected_status, model, version, inputs, named = WRONG[what]
    status, message = caller.refusal(caller.client.infer, model, inputs(caller), model_version=version)
    assert status == expected_status
    assert named in message.replace(", ", ",")


def test_output_that_is_not_there_is_named(caller: Caller, digits: Digits) -> None:
    outputs = caller.output("boxes")
    status, message = caller.refusal(caller.infer, "digits", digits.images[:1], outputs=outputs)
    assert status == "INVALID_ARGUMENT"
    assert "boxes" in message
