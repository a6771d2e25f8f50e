"""The bodies of requests, within the limits of the settings; what is on its way is bounded for all paths."""

from aiohttp import web

from server.calls.request_limits import check_count
from server.config import ServeSettings
from server.http.bodies import Receiving, is_multipart, read_body, read_decoded, read_images
from server.http.call import HttpCall


class Uploads:
    """Reads them. All routes of a process share one."""

    def __init__(self, settings: ServeSettings) -> None:
        self._max_images = settings.max_images_per_call
        self._max_image_bytes = settings.max_image_bytes
        self._max_bytes = settings.max_message_bytes
        self._receiving = Receiving(settings.max_inflight_bytes)

    async def image(self, request: web.Request, call: HttpCall) -> bytes:
        """The body, or the one part of a multipart body. Raises what `images` does."""
        if not is_multipart(request):
            return await read_body(request, self._max_image_bytes, self._receiving, call.deadline)
        (image,) = await self._images(request, call, 1)
        return image

    async def images(self, request: web.Request, call: HttpCall) -> list[bytes]:
        """The parts of a multipart body. Raises FieldInvalid for none or more than may be, and what
        `read_images` does."""
        return await self._images(request, call, self._max_images)

    async def decoded(self, request: web.Request, call: HttpCall, limit: int | None = None) -> bytes:
        """A body that may have come compressed, of as many bytes as any, or of `limit`. Raises what
        `read_decoded` does."""
        return await read_decoded(request, limit or self._max_bytes, self._receiving, call.deadline)

    async def _images(self, request: web.Request, call: HttpCall, most: int) -> list[bytes]:
        limit = min(self._max_bytes, most * self._max_image_bytes)
        images = await read_images(request, most, limit, self._receiving, call.deadline)
        check_count(len(images), most)
        return images
