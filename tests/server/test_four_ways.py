"""One suite for the four ways to ask: gRPC, the Open Inference Protocol, and each of them over HTTP."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import grpc
import pytest

from fovea.images.preprocess import MAX_IMAGE_BYTES
from fovea.oip import open_inference_pb2 as oip
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from tests import odd_images, tiny
from tests.markdown import Page
from tests.rpc import call_of
from tests.server.http.calls import Answer, form, post
from tests.server.http.rest_calls import Rest, message_as_json, tensors_of
from tests.server.oip_calls import PATIENCE_S, numbers, of_images, texts, wanting
from tests.servers import ROOT, ServerProcess

IMAGE: Final = tiny.picture("red")
JPEG: Final = tiny.picture("green", kind="JPEG")
MIXED: Final = tiny.picture((90, 160, 110), kind="WEBP")
AT_ONCE_S: Final = 1e-6
"""gRPC's timers tick in milliseconds: a small picture may be answered before the first."""


class Asked(NamedTuple):
    """A question that can be asked in each way."""

    images: Sequence[bytes]
    top_k: int = 1
    version: int = 0
    timeout_s: float = PATIENCE_S


class Outcome(NamedTuple):
    """How it ended, by gRPC's name; and of each image the best labels with their probabilities, or what is
    said of it. A float32 is the same number in JSON."""

    code: str
    images: Sequence[Any] = ()


ANSWERED: Final = {
    "a PNG": Asked([IMAGE]),
    "a JPEG": Asked([JPEG]),
    "a WebP that is not clear": Asked([MIXED], top_k=3),
    "two labels": Asked([JPEG], top_k=2),
    "the version that there is": Asked([IMAGE], version=1),
    "a batch": Asked([IMAGE, JPEG, MIXED, IMAGE], top_k=3),
}
REFUSED: Final = {
    "no byte": (Asked([b""]), "INVALID_ARGUMENT", "the image is empty"),
    "no image": (Asked([b"no image"]), "INVALID_ARGUMENT", "the bytes are not an image"),
    "half a PNG": (Asked([IMAGE[: len(IMAGE) // 2]]), "INVALID_ARGUMENT", "image"),
    "half a JPEG": (Asked([JPEG[: len(JPEG) // 2]]), "INVALID_ARGUMENT", "image"),
    "too many pixels": (Asked([odd_images.png(100_000, 100_000, b"")]), "INVALID_ARGUMENT", "pixels"),
    "another version": (Asked([IMAGE], version=7), "NOT_FOUND", "version"),
    "no time": (Asked([tiny.large_picture()], timeout_s=AT_ONCE_S), "DEADLINE_EXCEEDED", ""),
}
"""With the code, and what is said."""

Way = Callable[[Asked], Outcome]


@pytest.fixture(scope="module")
def ways(
    server: ServerProcess, stub: ClassifierStub, inference: GRPCInferenceServiceStub
) -> Iterator[Mapping[str, Way]]:
    rest = Rest(server)
    yield {
        "gRPC": partial(by_grpc, stub),
        "HTTP": partial(by_http, server),
        "inference": partial(by_inference, inference),
        "inference over HTTP": partial(by_rest, rest),
    }
    rest.close()


def test_an_answer_is_the_same_to_the_bit_whichever_way_it_comes(ways: Mapping[str, Way]) -> None:
    for case, asked in ANSWERED.items():
        outcomes = {name: way(asked) for name, way in ways.items()}
        assert outcomes["gRPC"].code == "OK", case
        assert [len(best) for best in outcomes["gRPC"].images] == [asked.top_k] * len(asked.images)
        for name, outcome in outcomes.items():
            assert outcome == outcomes["gRPC"], (case, name)


def test_a_refusal_is_the_same_whichever_way_it_comes(ways: Mapping[str, Way]) -> None:
    for case, (asked, code, said) in REFUSED.items():
        for name, way in ways.items():
            outcome = way(asked)
            assert outcome.code == code, (case, name)
            assert said in outcome.images[0], (case, name)


def test_a_bad_image_of_a_batch_has_an_error_or_fails_the_call_as_the_way_is(ways: Mapping[str, Way]) -> None:
    asked = Asked([IMAGE, b"no image", JPEG])
    own = ways["gRPC"](asked)
    assert own.code == "OK"
    assert own.images[1].startswith("the bytes are not an image")
    assert [own.images[0], own.images[2]] == [
        ways["gRPC"](Asked([image])).images[0] for image in (IMAGE, JPEG)
    ]
    assert ways["HTTP"](asked) == own
    refused = Outcome("INVALID_ARGUMENT", [f"image 1: {own.images[1]}"])
    assert ways["inference"](asked) == ways["inference over HTTP"](asked) == refused


def test_an_image_of_too_many_bytes_is_refused_whichever_way_it_comes(ways: Mapping[str, Way]) -> None:
    asked = Asked([bytes(MAX_IMAGE_BYTES + 1)])
    for name in ("gRPC", "inference", "inference over HTTP"):
        assert ways[name](asked).code == "INVALID_ARGUMENT", name
    assert ways["HTTP"](asked).code == "RESOURCE_EXHAUSTED"  # 413, of the body


def by_grpc(stub: ClassifierStub, asked: Asked) -> Outcome:
    options: Any = {"top_k": asked.top_k, "model_version": asked.version}
    try:
        if len(asked.images) == 1:
            one = pb.ClassifyRequest(image=asked.images[0], **options)
            return Outcome("OK", [_best(stub.Classify(one, timeout=asked.timeout_s))])
        batch = pb.ClassifyBatchRequest(images=asked.images, **options)
        results = stub.ClassifyBatch(batch, timeout=asked.timeout_s).results
    except grpc.RpcError as error:
        return _refused(error)
    return Outcome(
        "OK", [_best(each.response) if each.HasField("response") else each.error.message for each in results]
    )


def by_http(server: ServerProcess, asked: Asked) -> Outcome:
    query = f"?top_k={asked.top_k}&model_version={asked.version}"
    timeout = {"X_Timeout_Ms": f"{asked.timeout_s * 1000:f}"}
    if len(asked.images) == 1:
        answer = post(server, f"/v1/classify{query}", asked.images[0], **timeout)
        return Outcome("OK", [_best_in(answer.json)]) if answer.status == 200 else _problem(answer)
    body, headers = form(asked.images)
    answer = post(server, f"/v1/classify_batch{query}", body, **headers, **timeout)
    assert answer.status == 200
    results = answer.json["results"]
    return Outcome(
        "OK",
        [_best_in(each["response"]) if "response" in each else each["error"]["detail"] for each in results],
    )


def by_inference(inference: GRPCInferenceServiceStub, asked: Asked) -> Outcome:
    try:
        answer = inference.ModelInfer(_request(asked), timeout=asked.timeout_s)
        ranked = inference.ModelInfer(_ranking(asked), timeout=asked.timeout_s)
    except grpc.RpcError as error:
        return _refused(error)
    rows = numbers(answer, "probabilities").tolist()
    return Outcome("OK", _ranked(rows, texts(ranked, "probabilities"), texts(answer, "label")))


def by_rest(rest: Rest, asked: Asked) -> Outcome:
    replies = []
    for request in (_request(asked), _ranking(asked)):
        version = f"/versions/{request.model_version}" if request.model_version else ""
        timeout = {"X_Timeout_Ms": f"{asked.timeout_s * 1000:f}"}
        path = f"/v2/models/{request.model_name}{version}/infer"
        document, binary = message_as_json(request)
        reply = rest.post_parts(path, document, binary, **timeout)
        if reply.status != 200:
            return _problem(reply)
        replies.append(tensors_of(reply))
    (answer, ranked) = replies
    rows, ranking = _rows(answer, "probabilities"), _rows(ranked, "probabilities")
    return Outcome("OK", _ranked(rows, ranking, _rows(answer, "label")))


def _request(asked: Asked) -> oip.ModelInferRequest:
    return wanting(_of(asked), "probabilities", "label")


def _ranking(asked: Asked) -> oip.ModelInferRequest:
    return wanting(_of(asked), "probabilities", classification=asked.top_k)


def _of(asked: Asked) -> oip.ModelInferRequest:
    return of_images(asked.images, model_version=str(asked.version) if asked.version else "")


def _ranked(rows: list[list[float]], ranking: list[list[str]], labels: list[list[str]]) -> list[Any]:
    """The best of each row, in the order that the way itself gives."""
    best = []
    for row, ranked, (label,) in zip(rows, ranking, labels, strict=True):
        indexes = [int(each.split(":")[1]) for each in ranked]
        assert [each.split(":")[2] for each in ranked] == [tiny.LABELS[index] for index in indexes]
        assert label == tiny.LABELS[indexes[0]]
        best.append([(tiny.LABELS[index], row[index]) for index in indexes])
    return best


def _rows(tensors: dict[str, tuple[str, list[int], list[Any]]], name: str) -> list[list[Any]]:
    _, (_, columns), elements = tensors[name]
    return [elements[start : start + columns] for start in range(0, len(elements), columns)]


def _best(response: pb.ClassifyResponse) -> list[tuple[str, float]]:
    return [(each.label, each.probability) for each in response.predictions]


def _best_in(answer: Any) -> list[tuple[str, float]]:
    return [(each["label"], each["probability"]) for each in answer["predictions"]]


def _refused(error: grpc.RpcError) -> Outcome:
    call = call_of(error)
    return Outcome(call.code().name, [call.details() or ""])


def _problem(answer: Answer) -> Outcome:
    """Its status is one of those that the page has for its code."""
    problem = answer.json
    table = Page.read(ROOT / "docs/serving.md").table("code", "status")
    (statuses,) = [row["status"].text for row in table if row["code"].text == problem["code"]]
    assert str(answer.status) in re.findall(r"\b\d{3}\b", statuses), problem
    return Outcome(problem["code"], [problem["detail"]])
