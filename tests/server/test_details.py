"""What callers may want beside predictions: the bundle's own, and the same whichever way they ask."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from fovea.images.preprocess import decode_image
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.truth.sets import draws, label_sets
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.calls.details import FLAGS
from tests import tiny
from tests.rpc import call_of
from tests.server.calls.test_in_process import CALL, Ended, KnownWorker, service_of
from tests.server.event_loop import in_event_loop
from tests.server.http.calls import form, post, request
from tests.server.http.rest_calls import Rest, tensors_of, tensors_of_message
from tests.server.oip_calls import of_images, of_pixels, wanting
from tests.servers import ServerProcess

IMAGES = [tiny.picture("red"), tiny.picture((120, 120, 120)), tiny.picture("blue", kind="JPEG")]
"""The grey one is like none of the training's."""
WANTED: Any = dict.fromkeys(FLAGS, True)
QUERY = "&".join(f"{name}=true" for name in FLAGS)
OUTPUTS = ("distance", "unknown", "label_set", "embedding")


class Details:
    """Of one image, in plain values."""

    def __init__(self, tiny_bundle: ModelBundle, tiny_classifier: Classifier, image: bytes) -> None:
        crop = decode_image(image, tiny.SPEC)[np.newaxis]
        probabilities, embeddings = tiny_classifier.classify_with_embeddings(crop)
        known_classes = tiny_bundle.known_classes()
        assert known_classes is not None
        (self.distance,) = known_classes.distances(embeddings).tolist()
        self.unknown = self.distance > tiny.NOVELTY.threshold
        (indexes,) = label_sets(probabilities, draws(crop), tiny.SETS.quantile)
        self.label_set = [tiny.LABELS[index] for index in indexes]
        self.embedding = embeddings[0].tolist()


@pytest.fixture(scope="module")
def expected(tiny_bundle: ModelBundle, tiny_classifier: Classifier) -> list[Details]:
    """The second image alone is unknown."""
    details = [Details(tiny_bundle, tiny_classifier, image) for image in IMAGES]
    assert [each.unknown for each in details] == [False, True, False]
    return details


def test_over_grpc_an_image_has_the_bundles_own(stub: ClassifierStub, expected: list[Details]) -> None:
    lone = [stub.Classify(pb.ClassifyRequest(image=image, **WANTED)) for image in IMAGES]
    batch = stub.ClassifyBatch(pb.ClassifyBatchRequest(images=IMAGES, **WANTED)).results
    stream = stub.ClassifyStream(
        pb.ClassifyRequest(image=image, request_id=str(number), **WANTED)
        for number, image in enumerate(IMAGES)
    )
    streamed = sorted(stream, key=lambda answer: int(answer.request_id))
    answers = [lone, [each.response for each in batch], [each.response for each in streamed]]
    for way in answers:
        for answer, wanted in zip(way, expected, strict=True):
            assert (answer.unknown, answer.distance) == (wanted.unknown, wanted.distance)
            assert answer.label_set == pb.LabelSet(labels=wanted.label_set, coverage=tiny.SETS.coverage)
            assert [*answer.embedding] == wanted.embedding


def test_over_http_too(server: ServerProcess, expected: list[Details]) -> None:
    lone = [post(server, f"/v1/classify?{QUERY}", image).json for image in IMAGES]
    body, headers = form(IMAGES)
    batch = post(server, f"/v1/classify_batch?{QUERY}", body, **headers).json["results"]
    for way in (lone, [each["response"] for each in batch]):
        for answer, wanted in zip(way, expected, strict=True):
            assert (answer["unknown"], answer["distance"]) == (wanted.unknown, wanted.distance)
            assert answer["label_set"] == {"labels": wanted.label_set, "coverage": tiny.SETS.coverage}
            assert answer["embedding"] == wanted.embedding
    refused = post(server, "/v1/classify?want_distance=1", IMAGES[0])
    assert (refused.status, refused.json["errors"][0]["field"]) == (400, "want_distance")


def test_by_the_open_inference_protocol_too(
    server: ServerProcess, inference: GRPCInferenceServiceStub, expected: list[Details]
) -> None:
    rest = Rest(server)
    crops = np.stack([decode_image(image, tiny.SPEC) for image in IMAGES])
    for asked in (of_images(IMAGES), of_pixels(crops)):
        wanting(asked, *OUTPUTS)
        for tensors in (
            tensors_of_message(inference.ModelInfer(asked)),
            tensors_of(rest.infer(asked)),
            tensors_of(rest.infer(asked, binary_data_output=True)),
        ):
            columns = {name: np.reshape(values, shape) for name, (_, shape, values) in tensors.items()}
            assert columns["distance"][:, 0].tolist() == [each.distance for each in expected]
            assert columns["unknown"][:, 0].tolist() == [each.unknown for each in expected]
            assert columns["embedding"].tolist() == [each.embedding for each in expected]
            for row, wanted in zip(columns["label_set"], expected, strict=True):
                assert {tiny.LABELS[index] for index in np.flatnonzero(row)} == {*wanted.label_set}
    rest.close()


def test_who_asks_for_none_gets_none(
    server: ServerProcess, stub: ClassifierStub, inference: GRPCInferenceServiceStub
) -> None:
    answer = stub.Classify(pb.ClassifyRequest(image=IMAGES[1], want_distance=False))
    assert not any(answer.HasField(name) for name in ("unknown", "distance", "label_set", "selected"))
    assert not answer.embedding
    assert not {*OUTPUTS, "selected"} & post(server, "/v1/classify", IMAGES[1]).json.keys()
    model = request(server, "GET", "/v1/model").json
    assert not {"task", "thresholds", "label_metrics"} & model.keys(), "those are of a multi-label model"
    outputs = inference.ModelInfer(of_images(IMAGES)).outputs
    assert [output.name for output in outputs] == ["probabilities", "logits", "label"]
    refused = wanting(of_images(IMAGES), "distance", classification=1)
    with pytest.raises(grpc.RpcError) as error:
        inference.ModelInfer(refused)
    assert "classification" in str(call_of(error.value).details())


def test_model_says_what_may_be_wanted(stub: ClassifierStub) -> None:
    model = stub.GetModel(pb.GetModelRequest())
    assert model.embedding_size == 3
    assert model.unknown_threshold == tiny.NOVELTY.threshold
    assert model.label_set_coverage == tiny.SETS.coverage
    assert model.measured_on == "heldout"


@in_event_loop
async def test_model_that_was_released_without_says_so(tmp_path: Path) -> None:
    older = tiny.stage_bundle(tmp_path / "older")
    async with service_of(older, KnownWorker()) as service:
        for name in FLAGS:
            wanted: Any = {name: True}
            with pytest.raises(Ended, match=f"{name}: the model was released without "):
                await service.Classify(pb.ClassifyRequest(image=IMAGES[0], **wanted), CALL)
        described = await service.GetModel(pb.GetModelRequest(), CALL)
    assert described.embedding_size == 0
    assert not described.HasField("unknown_threshold")
    assert not described.HasField("label_set_coverage")
