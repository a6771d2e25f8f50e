"""`/v1/crop`: the image as the model sees it, for people who wonder about an answer."""

from typing import Final

from aiohttp import web

from server.calls.answering import Calls, check_request_id
from server.config import ServeSettings
from server.errors import Refused
from server.http.call import HttpCall
from server.http.classify import headers_of
from server.http.cropper import Cropper
from server.http.query import version_and_model_of
from server.http.uploads import Uploads
from server.models.model import Models
from server.queue.priorities import Admission, Priority

CROP: Final = "/v1/crop"
METHOD: Final = "Crop"
"""For the metrics and the log; gRPC has none of this name."""


class CropRoutes:
    """Crops are admitted as bulk images are: they take room from those alone."""

    def __init__(
        self, models: Models, admission: Admission, calls: Calls, uploads: Uploads, settings: ServeSettings
    ) -> None:
        self._models = models
        self._admission = admission
        self._calls = calls
        self._uploads = uploads
        self._cropper = Cropper(settings.max_image_bytes, settings.max_image_pixels)

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post(CROP, self.crop)

    async def crop(self, request: web.Request) -> web.Response:
        """Takes an image as `/v1/classify` does; answers with a PNG."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, METHOD)
            chosen = version_and_model_of(request)
            image = await self._uploads.image(request, call)
        except Refused as error:
            await call.refuse(self._calls, METHOD, error)
        png = await call.ended_in_time(self._cropped(image, chosen, call))
        return web.Response(body=png, content_type="image/png", headers=headers_of(call))

    async def _cropped(self, image: bytes, chosen: tuple[int, str], call: HttpCall) -> bytes:
        answering = self._calls.answering(METHOD, None, call.request_id, call.context, call.deadline)
        async with answering as counted:
            check_request_id("request_id", call.request_id)
            with self._models.use(*chosen) as model:
                counted.version = model.contract.version
                room = 1, len(image), Priority.BULK, model.retry_after_s, model.contract.name
                with self._admission.admit(*room):
                    png = await self._cropper.png(image, model.contract.preprocess)
            counted.images = 1
            return png
