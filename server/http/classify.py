"""`/v1/...`: fovea.v1.Classifier over HTTP. An image is the body itself, its options are in the query."""

import json
from typing import Any, Final

from aiohttp import web

from fovea.v1 import classify_pb2 as pb
from server.calls.answering import Calls
from server.calls.request_limits import check_count
from server.calls.service import BatchRequest, ClassifierService, ImageRequest
from server.config import ServeSettings
from server.errors import Refused
from server.http.answers import classified, classified_batch, plain
from server.http.bodies import Receiving, is_multipart, read_body, read_images
from server.http.call import REQUEST_ID, HttpCall
from server.http.query import query_of, version_of

CLASSIFY: Final = "/v1/classify"
CLASSIFY_BATCH: Final = "/v1/classify_batch"
MODEL: Final = "/v1/model"


class ClassifyRoutes:
    """What a caller of HTTP asks of the service, and its answers."""

    def __init__(self, service: ClassifierService, calls: Calls, settings: ServeSettings) -> None:
        self._service = service
        self._calls = calls
        self._max_images = settings.max_images_per_call
        self._max_image_bytes = settings.max_image_bytes
        self._max_bytes = settings.max_message_bytes
        self._receiving = Receiving(settings.max_inflight_bytes)

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post(CLASSIFY, self.classify)
        router.add_post(CLASSIFY_BATCH, self.classify_batch)
        router.add_get(MODEL, self.get_model)

    async def classify(self, request: web.Request) -> web.Response:
        """One image: the body, or the one part of a multipart body."""
        call = HttpCall(request)
        try:
            call.read_deadline()
            query = query_of(request)
            image = await self._image(request, call)
        except Refused as error:
            await call.refuse(self._calls, "Classify", error)
        asked = ImageRequest(*query, call.request_id, memoryview(image))
        answer = await call.ended_in_time(self._service.Classify(asked, call.context))
        return _json(classified(answer), call)

    async def classify_batch(self, request: web.Request) -> web.Response:
        """The parts of a multipart body; each has a result or an error, in their order."""
        call = HttpCall(request)
        try:
            call.read_deadline()
            query = query_of(request)
            images = await self._images(request, call, self._max_images)
        except Refused as error:
            await call.refuse(self._calls, "ClassifyBatch", error)
        asked = BatchRequest(*query, call.request_id, [memoryview(image) for image in images])
        answer = await call.ended_in_time(self._service.ClassifyBatch(asked, call.context))
        return _json(classified_batch(answer), call)

    async def get_model(self, request: web.Request) -> web.Response:
        """The model that is served."""
        call = HttpCall(request)
        try:
            call.read_deadline()
            version = version_of(request)
        except Refused as error:
            await call.refuse(self._calls, "GetModel", error)
        answer = await self._service.GetModel(pb.GetModelRequest(model_version=version), call.context)
        return _json(plain(answer), call)

    async def _image(self, request: web.Request, call: HttpCall) -> bytes:
        if not is_multipart(request):
            return await read_body(request, self._max_image_bytes, self._receiving, call.deadline)
        (image,) = await self._images(request, call, 1)
        return image

    async def _images(self, request: web.Request, call: HttpCall, most: int) -> list[bytes]:
        """Raises FieldInvalid for none or more, and what `read_images` does."""
        limit = min(self._max_bytes, most * self._max_image_bytes)
        images = await read_images(request, most, limit, self._receiving, call.deadline)
        check_count(len(images), most)
        return images


def _json(answer: dict[str, Any], call: HttpCall) -> web.Response:
    headers = {REQUEST_ID: call.request_id} if call.request_id else None
    return web.Response(body=json.dumps(answer).encode(), content_type="application/json", headers=headers)
