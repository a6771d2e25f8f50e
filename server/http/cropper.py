"""Makes crops to be looked at, of exactly the pixels that a model would be given."""

import asyncio
import json
import socket
from typing import Final

from fovea.errors import ImageInvalid
from fovea.images.spec import PreprocessSpec
from server.background import in_background
from server.compute import child
from server.compute.child import Child
from server.errors import ComputeFailed, QueueFull
from server.http import crop_process

MAX_WAITING: Final = 4
"""They are for people, and each is a process; more than these are refused."""
RETRY_AFTER_S: Final = 1.0
HANGS_AFTER_S: Final = 30.0
"""Of the process that makes one."""


class Cropper:
    """One at a time, each in a process of its own. Belongs to one event loop."""

    def __init__(self, max_bytes: int, max_pixels: int) -> None:
        self._limits = max_bytes, max_pixels
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def png(self, image: bytes, spec: PreprocessSpec) -> bytes:
        """The crop. Raises ImageInvalid, QueueFull, ComputeFailed; a process of whoever gives up is ended."""
        if self._waiting >= MAX_WAITING:
            raise QueueFull(f"{self._waiting} crops are waited for; more do not fit", RETRY_AFTER_S)
        self._waiting += 1
        try:
            async with self._turn:
                async with asyncio.timeout(HANGS_AFTER_S):
                    answer = await _asked(crop_process.request(spec, *self._limits), image)
        except TimeoutError:
            answer = b""
        finally:
            self._waiting -= 1
        return _png_of(answer)


async def _asked(request: bytes, image: bytes) -> bytes:
    """What a process answers; nothing where it died."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = _started(ours, theirs)
    try:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            writer.writelines((request, image))
            writer.write_eof()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
    finally:
        process.kill()
        await asyncio.shield(in_background(process.wait))


def _started(ours: socket.socket, theirs: socket.socket) -> Child:
    """Raises ComputeFailed; `ours` is closed then."""
    ours.setblocking(False)
    try:
        return child.start(crop_process.MODULE, "crop", theirs)
    except OSError as error:
        ours.close()
        raise ComputeFailed(f"no process can be started for a crop: {error.strerror}") from error


def _png_of(answer: bytes) -> bytes:
    kind, content = answer[:1], answer[1:]
    if kind == crop_process.DONE:
        return content
    if kind == crop_process.REFUSED:
        raise ImageInvalid(*json.loads(content))
    raise ComputeFailed("the process that made the crop died, or hung")
