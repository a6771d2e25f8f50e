import math
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from grpc_status import rpc_status

from fovea.images.preprocess import decode_image
from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.calls import description
from tests import tiny
from tests.rpc import call_of
from tests.servers import held_up, running_server

PATIENCE_S = 30


def classify(stub: ClassifierStub, image: bytes | None = None, **fields: Any) -> pb.ClassifyResponse:
    request = pb.ClassifyRequest(image=tiny.picture("red") if image is None else image, **fields)
    return stub.Classify(request, timeout=PATIENCE_S)


def refusal(stub: ClassifierStub, image: bytes | None = None, **fields: Any) -> grpc.Call:
    with pytest.raises(grpc.RpcError) as raised:
        classify(stub, image, **fields)
    return call_of(raised.value)


def bad_field(call: grpc.Call) -> str:
    """The field that the BadRequest in the status' details names."""
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    detail = BadRequest()
    assert rpc_status.from_call(call).details[0].Unpack(detail)
    (violation,) = detail.field_violations
    assert violation.description == call.details()
    return str(violation.field)


@pytest.mark.parametrize("colour", tiny.LABELS)
def test_images_are_told_apart_by_colour(stub: ClassifierStub, colour: str) -> None:
    response = classify(stub, tiny.picture(colour, kind="JPEG"), top_k=3)
    assert response.predictions[0].label == colour
    assert len(response.predictions) == 3
    assert sum(prediction.probability for prediction in response.predictions) == pytest.approx(1)


def test_answer_is_the_bundles_own(stub: ClassifierStub, tiny_classifier: Classifier) -> None:
    image = tiny.picture((120, 90, 70), (61, 47))
    crop = decode_image(image, tiny.SPEC)
    (expected,) = tiny_classifier.classify(crop[None])
    response = classify(stub, image, top_k=3)
    assert {p.index: p.probability for p in response.predictions} == dict(enumerate(expected.tolist()))


def test_answer_says_which_model_gave_it_and_what_it_took(
    stub: ClassifierStub, tiny_bundle: ModelBundle
) -> None:
    response = classify(stub, request_id="photo-17")
    assert response.request_id == "photo-17"
    assert response.model == pb.ModelVersion(name="tiny", version=1, digest=tiny_bundle.digest)
    assert response.timing.decode_us > 0
    assert response.timing.compute_us > 0
    assert response.timing.batch_size >= 1


def test_one_prediction_comes_by_default(stub: ClassifierStub) -> None:
    assert len(classify(stub).predictions) == 1


def test_predictions_below_min_probability_are_left_out(stub: ClassifierStub) -> None:
    response = classify(stub, top_k=3, min_probability=0.5)
    assert [prediction.label for prediction in response.predictions] == ["red"]


def test_undecided_image_is_marked_as_abstained(stub: ClassifierStub) -> None:
    assert classify(stub, tiny.picture((100, 100, 100))).abstained
    assert not classify(stub, tiny.picture("red")).abstained


def test_current_version_may_be_asked_for_by_number(stub: ClassifierStub) -> None:
    assert classify(stub, model_version=1).model.version == 1


def test_image_of_five_megabytes_is_accepted(stub: ClassifierStub) -> None:
    image = tiny.picture("blue", (1400, 1300), "BMP")
    assert len(image) > 5_000_000
    assert classify(stub, image).predictions[0].label == "blue"


def test_bytes_that_are_no_image_are_refused_by_name(stub: ClassifierStub) -> None:
    assert bad_field(refusal(stub, b"not an image")) == "image"


def test_empty_image_is_refused_by_name(stub: ClassifierStub) -> None:
    assert bad_field(refusal(stub, b"")) == "image"


def test_truncated_image_is_refused_by_name(stub: ClassifierStub) -> None:
    assert bad_field(refusal(stub, tiny.picture("red", kind="JPEG")[:-200])) == "image"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_k", 4),
        ("min_probability", -0.1),
        ("min_probability", 1.5),
        ("min_probability", math.nan),
        ("request_id", "x" * 129),
        ("priority", 3),
    ],
)
def test_field_out_of_range_is_refused_by_name(stub: ClassifierStub, field: str, value: Any) -> None:
    assert bad_field(refusal(stub, None, **{field: value})) == field


def test_version_that_is_not_loaded_is_not_found_and_those_loaded_are_listed(stub: ClassifierStub) -> None:
    call = refusal(stub, model_version=9)
    assert call.code() is grpc.StatusCode.NOT_FOUND
    assert call.details() == "version 9 is not loaded (loaded: 1)"


def test_passed_deadline_ends_the_call(stub: ClassifierStub) -> None:
    takes_longer = tiny.large_picture()
    with pytest.raises(grpc.RpcError) as raised:
        stub.Classify(pb.ClassifyRequest(image=takes_longer), timeout=0.005)
    assert call_of(raised.value).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_one_bad_image_in_a_batch_spoils_only_itself(stub: ClassifierStub) -> None:
    images = [tiny.picture("red"), b"broken", tiny.picture("blue")]
    response = stub.ClassifyBatch(
        pb.ClassifyBatchRequest(images=images, request_id="many"), timeout=PATIENCE_S
    )
    first, bad, last = response.results
    assert first.response.predictions[0].label == "red"
    assert bad.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert last.response.predictions[0].label == "blue"
    assert (response.request_id, response.model.version) == ("many", 1)


@pytest.mark.parametrize("count", [0, 65])
def test_batch_of_no_images_or_too_many_is_refused_by_name(stub: ClassifierStub, count: int) -> None:
    request = pb.ClassifyBatchRequest(images=[tiny.picture("red")] * count)
    with pytest.raises(grpc.RpcError) as raised:
        stub.ClassifyBatch(request, timeout=PATIENCE_S)
    assert bad_field(call_of(raised.value)) == "images"


def test_stream_answers_each_request_by_its_id(stub: ClassifierStub) -> None:
    expected = {f"{number}": tiny.LABELS[number % 3] for number in range(50)}
    requests = (
        pb.ClassifyRequest(image=tiny.picture(label), request_id=number) for number, label in expected.items()
    )
    results = stub.ClassifyStream(requests, timeout=PATIENCE_S)
    assert {r.request_id: r.response.predictions[0].label for r in results} == expected


def test_bad_image_does_not_end_the_stream(stub: ClassifierStub) -> None:
    requests = (
        pb.ClassifyRequest(image=image, request_id=name)
        for name, image in {"bad": b"broken", "good": tiny.picture("green")}.items()
    )
    results = {r.request_id: r for r in stub.ClassifyStream(requests, timeout=PATIENCE_S)}
    assert results["bad"].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert results["good"].response.predictions[0].label == "green"


def test_padding_is_described(tiny_bundle: ModelBundle) -> None:
    spec = PreprocessSpec(size=16, resize=16, fit="pad")
    contract = tiny_bundle.contract.model_copy(update={"preprocess": spec})
    described = description.preprocess_description(contract)
    assert (described.fit, list(described.pad_colour)) == ("pad", [124, 116, 104])
    assert (described.size, described.resize, described.digest) == (16, 16, spec.digest)


def test_model_describes_itself(stub: ClassifierStub, tiny_bundle: ModelBundle) -> None:
    model = stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE_S)
    assert list(model.labels) == ["red", "green", "blue"]
    assert model.model.digest == tiny_bundle.digest
    assert (model.preprocess.size, model.preprocess.digest) == (16, tiny.SPEC.digest)
    assert (model.preprocess.fit, list(model.preprocess.pad_colour)) == ("crop", [])
    assert (model.metrics.accuracy, model.metrics.images) == (1.0, 12)
    assert list(model.loaded_versions) == [1]
    assert (model.provider, model.precision) == ("CPUExecutionProvider", "fp32")
    assert model.created.ToDatetime().year == 2026


def test_full_queue_refuses_and_says_when_to_come_back(tiny_models: Path) -> None:
    image = tiny.picture("red")
    with (
        running_server(tiny_models, "--queue-capacity", "1", "--max-images-per-call", "1") as narrow,
        grpc.insecure_channel(narrow.target) as channel,
        ThreadPoolExecutor(8) as callers,
        held_up(narrow),
    ):
        calls = [callers.submit(classify, ClassifierStub(channel), image) for _ in range(8)]
        refused = [failure(call) for call in islice(as_completed(calls), 7)]
    assert sum(failure(call) is None for call in calls) == 1
    for error in refused:
        assert error is not None
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        detail = RetryInfo()
        assert rpc_status.from_call(error).details[0].Unpack(detail)
        assert detail.retry_delay.ToTimedelta().total_seconds() > 0


def failure(call: Future[pb.ClassifyResponse]) -> grpc.Call | None:
    error = call.exception()
    assert error is None or isinstance(error, grpc.Call)
    return error
