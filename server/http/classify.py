"""`/v1/...`: fovea.v1.Classifier over HTTP. An image is the body itself, its options are in the query."""

import json
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from fovea.v1 import classify_pb2 as pb
from server.calls.answering import Calls
from server.calls.service import BatchRequest, ClassifierService, ImageRequest
from server.errors import NoModelReady, Refused
from server.http.answers import classified, classified_batch, plain
from server.http.call import REQUEST_ID, HttpCall
from server.http.query import query_of, refuse_options, version_and_model_of
from server.http.uploads import Uploads
from server.models.model import Models

CLASSIFY: Final = "/v1/classify"
CLASSIFY_BATCH: Final = "/v1/classify_batch"
MODEL: Final = "/v1/model"
MODEL_LIST: Final = "/v1/models"


class ClassifyRoutes:
    """What a caller of HTTP asks of the service, and its answers."""

    def __init__(self, service: ClassifierService, models: Models, calls: Calls, uploads: Uploads) -> None:
        self._service = service
        self._models = models
        self._calls = calls
        self._uploads = uploads

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post(CLASSIFY, self.classify)
        router.add_post(CLASSIFY_BATCH, self.classify_batch)
        router.add_get(MODEL, self.get_model)
        router.add_get(MODEL_LIST, self.list_models)

    async def classify(self, request: web.Request) -> web.Response:
        """One image: the body, or the one part of a multipart body."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, "Classify")
            query = query_of(request)
            image = await self._uploads.image(request, call)
        except Refused as error:
            await call.refuse(self._calls, "Classify", error)
        asked = ImageRequest(*query, call.request_id, memoryview(image))
        answer = await call.ended_in_time(self._service.Classify(asked, call.context))
        return json_answer(classified(answer), call)

    async def classify_batch(self, request: web.Request) -> web.Response:
        """The parts of a multipart body; each has a result or an error, in their order."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, "ClassifyBatch")
            query = query_of(request)
            images = await self._uploads.images(request, call)
        except Refused as error:
            await call.refuse(self._calls, "ClassifyBatch", error)
        asked = BatchRequest(*query, call.request_id, [memoryview(image) for image in images])
        answer = await call.ended_in_time(self._service.ClassifyBatch(asked, call.context))
        return json_answer(classified_batch(answer), call)

    async def get_model(self, request: web.Request) -> web.Response:
        """A model that is served."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, "GetModel")
            version, model = version_and_model_of(request)
        except Refused as error:
            await call.refuse(self._calls, "GetModel", error)
        answer = await self._service.GetModel(
            pb.GetModelRequest(model_version=version, model=model), call.context
        )
        return json_answer(plain(answer), call)

    async def list_models(self, request: web.Request) -> web.Response:
        """Those that are served, for callers who know no name yet."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, "GetModel")
            refuse_options(request)
        except Refused as error:
            await call.refuse(self._calls, "GetModel", error)
        async with self._calls.answering("GetModel", None, call.request_id, call.context, call.deadline):
            listed = _listed(self._models)
        return json_answer({"models": listed}, call)


def _listed(models: Models) -> list[dict[str, Any]]:
    """By name, but first the one that a call means which names none. Raises NoModelReady."""
    try:
        first = models.choose(0).identity.name
    except Refused:
        first = ""
    live = sorted((model.identity for model in models.live), key=lambda each: (each.name != first, each.name))
    if not live:
        raise NoModelReady("no model is ready yet")
    return [{"name": each.name, "version": each.version} for each in live]


def json_answer(answer: Any, call: HttpCall, status: int = HTTPStatus.OK) -> web.Response:
    body = json.dumps(answer).encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=headers_of(call))


def headers_of(call: HttpCall) -> dict[str, str]:
    """Of each answer to it."""
    return {REQUEST_ID: call.request_id} if call.request_id else {}
