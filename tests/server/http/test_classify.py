"""Classification over HTTP: the same answers as over gRPC, and the same refusals."""

from typing import Any, Final

import grpc
from grpc_status import rpc_status

from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.http.answers import plain
from server.http.problems import document_of
from tests import tiny
from tests.rpc import call_of
from tests.server.http.calls import form, post, request
from tests.servers import ServerProcess

IMAGES: Final = [tiny.picture(label, (40 + number, 30)) for number, label in enumerate(tiny.LABELS)]

QUERIES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("", {}),
    ("?top_k=2", {"top_k": 2}),
    ("?top_k=3&min_probability=0.2", {"top_k": 3, "min_probability": 0.2}),
    ("?model_version=1&priority=bulk", {"model_version": 1, "priority": pb.PRIORITY_BULK}),
    ("?top_k=4", {"top_k": 4}),
    ("?min_probability=1.5", {"min_probability": 1.5}),
    ("?min_probability=nan", {"min_probability": float("nan")}),
    ("?model_version=7", {"model_version": 7}),
)
"""A query, and the fields of a request that it stands for."""


def test_an_image_has_the_answer_that_it_has_over_grpc(server: ServerProcess, stub: ClassifierStub) -> None:
    for query, fields in QUERIES:
        for image in (*IMAGES, b"", b"no image", IMAGES[0][:100]):
            for body, headers in ((image, {}), form([image])):
                answer = post(server, f"/v1/classify{query}", body, X_Request_Id="one", **headers)
                assert answer.headers["X-Request-Id"] == "one"
                asked = pb.ClassifyRequest(image=image, request_id="one", **fields)
                try:
                    expected = plain(stub.Classify(asked))
                except grpc.RpcError as refused:
                    status = rpc_status.from_call(call_of(refused))
                    assert status is not None
                    assert answer.json == document_of(status), query
                else:
                    assert without_timing(answer.json) == without_timing(expected), query


def test_images_of_a_batch_have_the_results_that_they_have_over_grpc(
    server: ServerProcess, stub: ClassifierStub
) -> None:
    images = [*IMAGES, b"no image", b""]
    body, headers = form(images)
    answer = post(server, "/v1/classify_batch?top_k=2", body, X_Request_Id="many", **headers).json
    expected = stub.ClassifyBatch(pb.ClassifyBatchRequest(images=images, top_k=2, request_id="many"))
    assert (answer["model"], answer["request_id"]) == (plain(expected.model), "many")
    assert len(answer["results"]) == len(images)
    for result, wanted in zip(answer["results"], expected.results, strict=True):
        if wanted.HasField("error"):
            assert result == {"error": document_of(wanted.error)}
        else:
            assert without_timing(result["response"]) == without_timing(plain(wanted.response))


def test_the_model_describes_itself_as_over_grpc(server: ServerProcess, stub: ClassifierStub) -> None:
    assert request(server, "GET", "/v1/model").json == plain(stub.GetModel(pb.GetModelRequest()))
    assert request(server, "GET", "/v1/model?model_version=9").json["code"] == "NOT_FOUND"


def test_what_cannot_be_read_is_a_problem_that_names_it(server: ServerProcess) -> None:
    image = IMAGES[0]
    two, of_parts = form([image, image])
    none, _ = form([])
    truncated, _ = form([image], end="")
    encoded, _ = form([image], extra="Content-Transfer-Encoding: base64\r\n")
    too_many, _ = form([image] * 65)
    for path, body, headers, status, said in (
        ("/v1/classify?topk=1", image, {}, 400, "there is no option 'topk'"),
        ("/v1/classify?top_k=1&top_k=2", image, {}, 400, "top_k is there twice"),
        ("/v1/classify?top_k=-1", image, {}, 400, "top_k must be a whole number"),
        ("/v1/classify?top_k=4294967296", image, {}, 400, "top_k must be a whole number"),
        ("/v1/classify?model_version=1e3", image, {}, 400, "model_version must be a whole number"),
        ("/v1/classify?min_probability=half", image, {}, 400, "min_probability must be a number"),
        ("/v1/classify?priority=0", image, {}, 400, "priority must be interactive or bulk"),
        ("/v1/classify", image, {"X_Timeout_Ms": "0"}, 400, "X-Timeout-Ms must be"),
        ("/v1/classify", image, {"X_Timeout_Ms": "soon"}, 400, "X-Timeout-Ms must be"),
        ("/v1/classify", image, {"X_Request_Id": "x" * 129}, 400, "request_id must have at most 128"),
        ("/v1/classify", image, {"Content_Encoding": "gzip"}, 400, "the body is encoded"),
        ("/v1/classify", two, of_parts, 400, "from 1 to 1 images; this one has more"),
        ("/v1/classify", none, of_parts, 400, "this one has none"),
        ("/v1/classify", truncated, of_parts, 400, "not multipart/form-data, or not whole"),
        ("/v1/classify", encoded, of_parts, 400, "a part of the body is encoded"),
        ("/v1/classify", image, {"Content_Type": "multipart/form-data"}, 400, "not multipart/form-data"),
        ("/v1/classify_batch", image, {}, 400, "the body should be multipart/form-data"),
        ("/v1/classify_batch", too_many, of_parts, 400, "from 1 to 64 images; this one has more"),
        ("/v1/model", b"", {}, 405, "Method Not Allowed"),
        ("/v1/classify/", image, {}, 404, "Not Found"),
    ):
        answer = post(server, path, body, **headers)
        assert (answer.status, answer.json["status"]) == (status, status), (path, answer)
        assert said in answer.json["detail"], (path, answer)
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_deadline_that_cannot_be_met_is_one_that_passed(server: ServerProcess) -> None:
    answer = post(server, "/v1/classify", IMAGES[0], X_Timeout_Ms="0.001")
    assert (answer.status, answer.json["code"]) == (504, "DEADLINE_EXCEEDED")


def without_timing(answer: Any) -> Any:
    assert set(answer["timing"]) == {"decode_us", "queue_us", "batch_size", "compute_us"}
    return {name: value for name, value in answer.items() if name != "timing"}
