"""`/openapi.json`: what is answered over HTTP, as OpenAPI 3.1 has it, made of what answers.

Answers have the shapes of their messages, options are those that the query's reader knows, statuses those
that a call can end with; what is written down here beside that, tests hold against the server.
"""

import json
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final, NamedTuple

from aiohttp import web
from google.protobuf.descriptor import Descriptor

from fovea.sticky import STICKY_KEY
from fovea.v1 import classify_pb2 as pb
from server.calls.answering import MAX_REQUEST_ID_BYTES
from server.config import ServeSettings
from server.http.call import LONGEST_TIMEOUT_MS, REQUEST_ID, TIMEOUT
from server.http.classify import CLASSIFY, CLASSIFY_BATCH, MODEL, MODEL_LIST
from server.http.crops import CROP
from server.http.page import FILES
from server.http.problems import HTTP, title_of
from server.http.query import OF_ANY, OPTIONS, PRIORITIES
from server.http.schemas import (
    PROBLEM,
    TORCHSERVE_ERROR,
    Json,
    model_list,
    ref,
    schemas,
    torchserve_answers,
)
from server.http.torchserve_errors import MODELS, PING, PREDICTIONS

OPENAPI: Final = "/openapi.json"

_ABOUT: Final = (
    "The service fovea.v1.Classifier over HTTP: a request becomes a call of it, with the same limits, queue, "
    "deadlines and metrics. The paths below /v2 are those of the Open Inference Protocol, version 2, which "
    "describes them itself: https://github.com/kserve/open-inference-protocol."
)
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
_OCTETS: Final = "application/octet-stream"
_BYTES: Final[Json] = {"type": "string", "contentMediaType": _OCTETS}
_TEXT: Final[Json] = {"type": "string"}
_FLAG: Final[Json] = {"type": "boolean"}

_SCHEMAS: Final[dict[str, tuple[Json, str]]] = {
    "top_k": (
        {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
        "How many predictions, best first: at most as many as there are labels. 0 means 1.",
    ),
    "min_probability": (
        {"type": "number", "minimum": 0, "maximum": 1},
        "Predictions below it are left out.",
    ),
    "model_version": (
        {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
        "A version that is loaded; 0 means the current one.",
    ),
    "priority": ({"type": "string", "enum": [*PRIORITIES]}, "Interactive images go first."),
    "model": (_TEXT, "Of several models, which one; empty means the only one, or the default."),
    "want_distance": (
        _FLAG,
        "Whether to say how far the image is from the training's, and if it is unknown.",
    ),
    "want_label_set": (
        _FLAG,
        "Whether to give the labels among which the truth is, as often as they promise.",
    ),
    "want_embedding": (_FLAG, "Whether to give what the model's last layers read of the image."),
}
_ASKED: Final = ("INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "INTERNAL")
"""How a call without a body may end beside well."""
_UPLOADED: Final = (*_ASKED, "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
_TOKEN: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED")
"""Also, where calls need one."""
_BODY: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
"""Of a body there are statuses that HTTP alone has."""


class Operation(NamedTuple):
    """A path that is answered, by one method."""

    path: str
    method: str
    summary: str
    answer: Json
    """By media type."""
    options: tuple[str, ...] = ()
    body: Json | None = None
    """By media type."""
    ends: tuple[str, ...] = ()
    """How it may end beside well, by gRPC's names; none where it is no call."""
    others: Json | None = None
    """By media type, where all other answers are none of ours."""
    needs_token: bool = False


class OpenApiRoutes:
    """The document, which stays as it is while the server lives."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._document: bytes | None = None

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get(OPENAPI, self.get_document)

    async def get_document(self, request: web.Request) -> web.Response:
        if self._document is None:
            described = operations(self._settings)
            if self._settings.token_file is not None or self._settings.jwt_jwks is not None:
                open_health = self._settings.open_health
                described = tuple(with_token(each, open_health=open_health) for each in described)
            self._document = json.dumps(document(described)).encode()
        return web.Response(body=self._document, content_type=_JSON)


def operations(settings: ServeSettings) -> tuple[Operation, ...]:
    """All but those of protocols that are described elsewhere."""
    image = _BYTES | {"maxLength": settings.max_image_bytes}
    images = {"type": "array", "items": image, "minItems": 1, "maxItems": settings.max_images_per_call}
    one = {"image/*": {"schema": image}, _OCTETS: {"schema": image}, **_form("image", image)}
    return (
        *_of_classifier(one, _form("images", images)),
        *(
            Operation(path, "get", f"The page to try the model on: {name}.", {kind: {"schema": _TEXT}})
            for path, (name, kind) in FILES.items()
        ),
        *_of_torchserve(one),
        Operation(OPENAPI, "get", "This document.", {_JSON: {"schema": {"type": "object"}}}),
    )


def _of_classifier(image: Json, images: Json) -> Iterator[Operation]:
    options = tuple(OPTIONS)
    about = "Classifies one image: the body, as it came, or the one part of a form."
    answer = _answer(pb.ClassifyResponse.DESCRIPTOR)
    yield Operation(CLASSIFY, "post", about, answer, options, image, _UPLOADED)
    about = "Classifies the parts of a form; each has an answer or an error of its own, in their order."
    answer = _answer(pb.ClassifyBatchResponse.DESCRIPTOR)
    yield Operation(CLASSIFY_BATCH, "post", about, answer, options, images, _UPLOADED)
    about = "Describes a model that is served."
    yield Operation(MODEL, "get", about, _answer(pb.GetModelResponse.DESCRIPTOR), OF_ANY, None, _ASKED)
    about = "Lists the models that are served, first the one that is meant where none is named."
    ends = tuple(each for each in _ASKED if each != "NOT_FOUND")
    yield Operation(MODEL_LIST, "get", about, {_JSON: {"schema": model_list()}}, ends=ends)
    about, answer = "The image as the model sees it.", {"image/png": {"schema": _BYTES}}
    yield Operation(CROP, "post", about, answer, OF_ANY, image, _UPLOADED)


def _of_torchserve(image: Json) -> Iterator[Operation]:
    refused = {_JSON: {"schema": ref(TORCHSERVE_ERROR)}}
    answers = {name: {_JSON: {"schema": schema}} for name, schema in torchserve_answers().items()}
    status, predictions, models, model = answers.values()
    yield Operation(PING, "get", "TorchServe's: whether predictions are answered.", status, others=status)
    yield Operation(MODELS, "get", "TorchServe's: the model that is served.", models, others=refused)
    for named in ("/{name}", "/{name}/{version}"):
        about = "TorchServe's: describes the model."
        yield Operation(f"{MODELS}{named}", "get", about, model, others=refused)
        for method in ("post", "put"):
            about = "TorchServe's: the five most probable labels of an image."
            yield Operation(f"{PREDICTIONS}{named}", method, about, predictions, body=image, others=refused)


def with_token(described: Operation, *, open_health: bool) -> Operation:
    """The same where calls need one."""
    if (described.path == PING and open_health) or not (described.ends or described.others):
        return described
    ends = (*described.ends, *_TOKEN) if described.ends else ()
    others = described.others
    if described.path == PING:
        either = [torchserve_answers()["status"], ref(TORCHSERVE_ERROR)]
        others = {_JSON: {"schema": {"anyOf": either}}}
    return described._replace(ends=ends, others=others, needs_token=True)


def document(described: Iterable[Operation]) -> Json:
    described = tuple(described)
    paths: dict[str, Json] = {}
    for each in described:
        paths.setdefault(each.path, {})[each.method] = _operation(each)
    refused = {int(status) for each in described for status in _refused(each)}
    needs_token = any(each.needs_token for each in described)
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}} if needs_token else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fovea", "version": "1", "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": {str(status): _refusal(status) for status in sorted(refused)},
            "securitySchemes": schemes,
        },
    }


def _operation(described: Operation) -> Json:
    refused = {str(each): {"$ref": f"#/components/responses/{each}"} for each in _refused(described)}
    operation: Json = {
        "summary": described.summary,
        "responses": {"200": {"description": "OK", "content": described.answer}, **refused},
    }
    if described.others:
        operation["responses"]["default"] = {"description": "Any other end", "content": described.others}
    names = re.findall(r"{(\w+)}", described.path)
    in_path = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
    if described.ends or in_path:
        operation["parameters"] = [*in_path, *map(_option, described.options), *_headers()]
    if described.needs_token:
        operation["security"] = [{"bearer": []}]
    if described.body:
        operation["requestBody"] = {"required": True, "content": described.body}
    return operation


def _refused(described: Operation) -> list[int]:
    statuses = [HTTP[name] for name in described.ends]
    if described.body and described.ends:
        statuses += _BODY
    return sorted(map(int, statuses))


def _option(name: str) -> Json:
    schema, description = _SCHEMAS[name]
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _headers() -> tuple[Json, ...]:
    return (
        {
            "name": REQUEST_ID,
            "in": "header",
            "schema": {"type": "string", "maxLength": MAX_REQUEST_ID_BYTES},
            "description": "Comes back with the answer, and stands in the server's log.",
        },
        {
            "name": STICKY_KEY,
            "in": "header",
            "schema": {"type": "string"},
            "description": "While two versions share the calls, those with one key get one version.",
        },
        {
            "name": TIMEOUT,
            "in": "header",
            "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_TIMEOUT_MS},
            "description": "Milliseconds from now, after which nobody waits for an answer.",
        },
    )


def _form(name: str, schema: Json) -> Json:
    described = {"type": "object", "properties": {name: schema}, "required": [name]}
    return {"multipart/form-data": {"schema": described}}


def _answer(message: Descriptor) -> Json:
    return {_JSON: {"schema": ref(message.name)}}


def _refusal(status: int) -> Json:
    response: Json = {
        "description": _phrase(status),
        "content": {_PROBLEM: {"schema": ref(PROBLEM)}},
    }
    if status == HTTPStatus.UNAUTHORIZED:
        response["headers"] = {"WWW-Authenticate": {"schema": {"const": "Bearer"}}}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = {"schema": {"type": "integer", "minimum": 1}, "description": "In seconds."}
        response["headers"] = {"Retry-After": seconds}
    return response


def _phrase(status: int) -> str:
    names = " or ".join(name for name, http in HTTP.items() if http == status)
    return f"{title_of(status)}; gRPC's {names}" if names else title_of(status)
