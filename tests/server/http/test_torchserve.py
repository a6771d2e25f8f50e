"""Callers of TorchServe get what they know: its paths, its answers, its errors."""

import json
from typing import Any

import pytest

from fovea.v1.classify_pb2 import ClassifyRequest
from fovea.v1.classify_pb2_grpc import ClassifierStub
from server.http.torchserve_errors import INTERNAL, KINDS
from tests.docs.pages import PAGES
from tests.server.http.calls import form, request
from tests.servers import ServerProcess, started_server
from tests.tiny import picture

RED = picture("red")


def error(code: int, kind: str, message: str) -> dict[str, Any]:
    return {"code": code, "type": kind, "message": message}


def test_predictions_are_labels_with_their_probabilities_the_best_first(
    server: ServerProcess, stub: ClassifierStub
) -> None:
    wanted = stub.Classify(ClassifyRequest(image=RED, top_k=3)).predictions
    body, headers = form([RED])
    multipart = {"Content-Type": headers["Content_Type"]}
    curls = {"Content-Type": "application/x-www-form-urlencoded"}  # as `--data-binary` says of anything
    for method, path, sent, headers in [
        ("POST", "/predictions/tiny", RED, curls),
        ("PUT", "/predictions/tiny/1", RED, {}),
        ("POST", "/predictions/tiny/1.0", body, multipart),
    ]:
        answer = request(server, method, path, sent, headers)
        assert answer.status == 200, answer.body
        assert list(json.loads(answer.body).items()) == [(each.label, each.probability) for each in wanted]


def test_the_model_is_listed_and_described(server: ServerProcess) -> None:
    assert request(server, "GET", "/models").json == {"models": [{"modelName": "tiny", "modelUrl": "tiny/1"}]}
    for path in ("/models/tiny", "/models/tiny/1.0", "/models/tiny/all"):
        (model,) = request(server, "GET", path).json
        assert (model["modelName"], model["modelVersion"]) == ("tiny", "1")
        assert model["workers"][0]["status"] == "READY"


def test_errors_are_worded_as_torchserves(server: ServerProcess) -> None:
    cases = [
        ("PUT", "/predictions/dog", 404, "ModelNotFoundException"),
        ("GET", "/models/dog/1", 404, "ModelNotFoundException"),
        ("PUT", "/predictions/tiny/7", 404, "ModelVersionNotFoundException"),
        ("PUT", "/predictions/tiny/1.5", 404, "ModelVersionNotFoundException"),
        ("PUT", "/predictions/tiny/000000000000000000001", 404, "ModelVersionNotFoundException"),
        ("GET", "/models/tiny/%FF", 404, "ModelVersionNotFoundException"),
        ("GET", "/models/tiny/1/2/3", 404, "ResourceNotFoundException"),
        ("POST", "/models", 405, "MethodNotAllowedException"),
        ("DELETE", "/models/tiny", 405, "MethodNotAllowedException"),
        ("PUT", "/models/tiny", 405, "MethodNotAllowedException"),
        ("PUT", "/models/tiny/1.0/set-default", 405, "MethodNotAllowedException"),
    ]
    for method, path, code, kind in cases:
        answer = request(server, method, path, RED if method == "PUT" else None)
        assert (answer.status, answer.json) == (code, error(code, kind, answer.json["message"])), path
    bad = request(server, "PUT", "/predictions/tiny", b"no image")
    assert bad.json == error(400, "BadRequestException", bad.json["message"])
    late = request(server, "PUT", "/predictions/tiny", RED, {"X-Timeout-Ms": "0.001"})
    assert late.json == error(408, "RequestTimeoutException", late.json["message"])


def test_ping_says_whether_predictions_are_answered(server: ServerProcess) -> None:
    answer = request(server, "GET", "/ping")
    assert (answer.status, answer.json) == (200, {"status": "Healthy"})


def test_types_that_the_page_names_are_the_servers() -> None:
    rows = PAGES["docs/from-torchserve.md"].table("type", "code")
    ours = {kind for _, kind in KINDS.values()}
    missing = {"ModelNotFoundException", "ModelVersionNotFoundException", "ResourceNotFoundException"}
    assert {kind for row in rows for kind in row["type"].code} == ours | missing | {INTERNAL[1]}


@pytest.mark.slow
def test_ping_and_predictions_say_that_there_is_no_model_yet(tmp_path: Any) -> None:
    (tmp_path / "pets").mkdir()
    with started_server(tmp_path / "pets", "--wait-for-model") as server:
        server._ready = server.wait_for("waiting for a version to be published")
        answer = request(server, "GET", "/ping")
        assert (answer.status, answer.json) == (500, {"status": "Unhealthy"})
        answer = request(server, "PUT", "/predictions/pets", RED)
        assert answer.json == error(503, "ServiceUnavailableException", answer.json["message"])
