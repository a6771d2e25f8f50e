"""The document says what is answered: paths, options, statuses and the very keys of the answers."""

import asyncio
import copy
import json
import re
from typing import Any, cast

import jsonschema
import openapi_spec_validator
import pytest
from aiohttp import web

from server.config import ServeSettings
from server.http.openapi import OpenApiRoutes
from server.http.query import OPTIONS
from server.http.routes import http_server
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.net.health import Health
from server.oip.service import InferenceService
from server.queue.priorities import Admission
from server.telemetry.call_metrics import OwnCallMetrics
from tests.server.http.calls import Answer, form, request
from tests.servers import ServerProcess
from tests.tiny import picture

ELSEWHERE = ("/v2",)
"""Paths of protocols that are described by themselves."""
UNDESCRIBED = ("head", "*")
"""What goes without saying, and paths that are refused whatever the method."""


@pytest.fixture(scope="module", name="document")
def served_document(server: ServerProcess) -> dict[str, Any]:
    return dict(request(server, "GET", "/openapi.json").json)


def test_the_document_is_openapi_and_has_every_path_that_is_answered(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)
    settings, models = ServeSettings(models="models/pets"), Catalogue[ServedModel]()
    inference = cast("InferenceService", None)
    admission, metrics = Admission(1, 1), OwnCallMetrics(None)
    server = http_server(settings, None, models, admission, metrics, lambda _: inference, Health())
    routes = [route for route in server._runner.app.router.routes() if route.resource]
    answered = {(route.method.lower(), str(route.resource and route.resource.canonical)) for route in routes}
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == {
        (method, path)
        for method, path in answered
        if method not in UNDESCRIBED and not path.startswith(ELSEWHERE)
    }


async def _document_of(settings: ServeSettings) -> dict[str, Any]:
    answer = await OpenApiRoutes(settings).get_document(cast("web.Request", None))
    assert isinstance(answer.body, bytes)
    return dict(json.loads(answer.body))


@pytest.mark.parametrize(
    "given",
    [
        {"token_file": "tokens"},
        {"jwt_jwks": "jwks.json", "jwt_issuer": "https://issuer.example", "jwt_audience": "fovea"},
    ],
    ids=["tokens", "jwt"],
)
def test_calls_need_a_token_where_either_kind_is_taken(given: dict[str, Any]) -> None:
    document = asyncio.run(_document_of(ServeSettings(models="models/pets", **given)))
    classify = document["paths"]["/v1/classify"]["post"]
    assert classify["security"] == [{"bearer": []}]
    assert {"401", "403"} <= classify["responses"].keys()
    assert "security" not in document["paths"]["/ping"]["get"]
    open_to_all = asyncio.run(_document_of(ServeSettings(models="models/pets")))
    assert "security" not in open_to_all["paths"]["/v1/classify"]["post"]


def test_options_are_those_that_are_read(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/v1/classify"]["post"]["parameters"]
    assert [each["name"] for each in parameters if each["in"] == "query"] == [*OPTIONS]


def test_answers_have_the_keys_of_their_schemas_and_no_others(
    server: ServerProcess, document: dict[str, Any]
) -> None:
    image = picture("red")
    one, head = form([image])
    some, _ = form([image, b"no image"])
    headers_of_form = {"Content-Type": head["Content_Type"]}
    cases = [
        ("POST", "/v1/classify?top_k=2", image, {}, 200),
        ("POST", "/v1/classify", one, headers_of_form, 200),
        ("POST", "/v1/classify", image, {"X-Request-Id": "no UTF-8: \xff"}, 200),
        ("POST", "/v1/classify", b"no image", {}, 400),
        ("POST", "/v1/classify?top_k=many", image, {}, 400),
        ("POST", "/v1/classify?model_version=7", image, {}, 404),
        ("POST", "/v1/classify_batch", some, headers_of_form, 200),
        ("POST", "/v1/classify_batch", b"", {}, 400),
        ("POST", "/v1/crop", b"no image", {}, 400),
        ("GET", "/v1/model", None, {}, 200),
        ("GET", "/v1/model?model_version=7", None, {}, 404),
        ("GET", "/v1/models", None, {}, 200),
        ("GET", "/v1/models?model=tiny", None, {}, 400),
        ("GET", "/ping", None, {}, 200),
        ("GET", "/models", None, {}, 200),
        ("GET", "/models/tiny", None, {}, 200),
        ("GET", "/models/tiny/7", None, {}, 404),
        ("PUT", "/predictions/tiny", image, {}, 200),
        ("POST", "/predictions/tiny/1.0", b"no image", {}, 400),
    ]
    for method, path, body, headers, status in cases:
        answer = request(server, method, path, body, headers)
        assert answer.status == status, (path, answer.body)
        check(document, method, path, answer)
    assert document["paths"]["/v1/classify_batch"]["post"]["requestBody"]["content"].keys() == {
        "multipart/form-data"
    }


def check(document: dict[str, Any], method: str, path: str, answer: Answer) -> None:
    """The answer is what the document says of its status; a key more or less fails."""
    named = re.sub("^/(models|predictions)/[^/]+", r"/\1/{name}", path.partition("?")[0])
    operation = document["paths"][re.sub("({name})/.*", r"\1/{version}", named)][method.lower()]
    responses = operation["responses"]
    response = responses.get(str(answer.status)) or responses["default"]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    media_type = answer.headers["Content-Type"].partition(";")[0]
    schema = {**response["content"][media_type]["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(strict(schema)).validate(answer.json)


def strict(schema: Any) -> Any:
    """Without room for keys that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return copy.copy(schema)
    inner = {name: strict(each) for name, each in schema.items()}
    return {"additionalProperties": False} | inner if schema.get("type") == "object" else inner
