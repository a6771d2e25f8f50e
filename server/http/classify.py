"""`/v1/...`: fovea.v1.Classifier over HTTP. An image is the body itself, its options are in the query."""

import json
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from fovea.v1 import classify_pb2 as pb
from server.calls.answering import Calls
from server.calls.service import BatchRequest, ClassifierService, ImageRequest
from server.errors import Refused
from server.http.answers import classified, classified_batch, plain
from server.http.call import REQUEST_ID, HttpCall
from server.http.query import query_of, version_and_model_of
from server.http.uploads import Uploads

CLASSIFY: Final = "/v1/classify"
CLASSIFY_BATCH: Final = "/v1/classify_batch"
MODEL: Final = "/v1/model"


class ClassifyRoutes:
    """What a caller of HTTP asks of the service, and its answers."""

    def __init__(self, service: ClassifierService, calls: Calls, uploads: Uploads) -> None:
        self._service = service
        self._calls = calls
        self._uploads = uploads

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post(CLASSIFY, self.classify)
        router.add_post(CLASSIFY_BATCH, self.classify_batch)
        router.add_get(MODEL, self.get_model)

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


def json_answer(answer: Any, call: HttpCall, status: int = HTTPStatus.OK) -> web.Response:
    body = json.dumps(answer).encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=headers_of(call))


def headers_of(call: HttpCall) -> dict[str, str]:
    """Of each answer to it."""
    return {REQUEST_ID: call.request_id} if call.request_id else {}
