"""The bodies of requests: as many bytes as may be, within the time that they may take, as they came."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage

from server.errors import BodyStalled, BodyTooLarge, BodyUnreadable, DeadlinePassed, QueueFull
from server.http.connection import Connection
from server.http.encodings import Decoder

BODY_S: Final = 60.0
"""A body has this long to come, however few of its bytes come at a time."""

MAX_FORM_BYTES: Final = 64 * 1024
"""Of a multipart body beside its images: boundaries, and the headers of the parts."""

MULTIPART: Final = "multipart/form-data"


class Receiving:
    """The bytes of bodies that are on their way: they have not been admitted yet, and are bounded as well."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.bytes = 0

    @contextmanager
    def body(self) -> Iterator["Received"]:
        """Counts what is received in the block, until the block is left."""
        received = Received(self)
        try:
            yield received
        finally:
            self.bytes -= received.bytes

    def count(self, size: int) -> None:
        """Raises QueueFull."""
        self.bytes += size
        if self.bytes > self._max_bytes:
            there = f"{self.bytes - size} bytes of requests are being received, of {self._max_bytes}"
            raise QueueFull(f"{there}; more do not fit", retry_after_s=1)


class Received:
    """What of one body is there."""

    def __init__(self, receiving: Receiving) -> None:
        self._receiving = receiving
        self.bytes = 0

    def count(self, size: int) -> None:
        """Raises QueueFull."""
        self.bytes += size
        self._receiving.count(size)


async def read_body(
    request: web.BaseRequest, limit: int, receiving: Receiving, deadline: float | None
) -> bytes:
    """All of it. Raises BodyTooLarge, BodyStalled, BodyUnreadable, DeadlinePassed, QueueFull."""
    _check_head(request, limit)
    chunks: list[bytes] = []
    size = 0
    with receiving.body() as received:
        async with _in_time(request, deadline):
            while chunk := await request.content.readany():
                received.count(len(chunk))
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_decoded(
    request: web.BaseRequest, limit: int, receiving: Receiving, deadline: float | None
) -> bytes:
    """All of it, without the compression that it may have come with; `limit` is of what comes of it, too.

    Raises EncodingUnknown, and what `read_body` does.
    """
    if "Content-Encoding" not in request.headers:
        return await read_body(request, limit, receiving, deadline)
    decoder = Decoder(request.headers["Content-Encoding"])
    _check_length(request, limit)
    pieces: list[bytes] = []
    with receiving.body() as received:
        async with _in_time(request, deadline):
            while chunk := await request.content.readany():
                for piece in decoder.decode(chunk):
                    received.count(len(piece))
                    if received.bytes > limit:
                        raise _too_large(limit)
                    pieces.append(piece)
                    await asyncio.sleep(0)  # a piece takes milliseconds
    decoder.finish()
    return b"".join(pieces)


async def read_images(
    request: web.BaseRequest,
    max_images: int,
    limit: int,
    receiving: Receiving,
    deadline: float | None,
) -> list[bytes]:
    """The parts of a multipart body, each byte as it came, whatever they are called.

    At most `max_images` and one more, which tells that there are too many; `limit` is of their bytes
    together. Raises what `read_body` does.
    """
    if not is_multipart(request):
        raise BodyUnreadable(f"the body should be {MULTIPART}, an image a part")
    _check_head(request, limit + MAX_FORM_BYTES)
    images: list[bytes] = []
    with receiving.body() as received:
        async with _in_time(request, deadline):
            try:
                async for part in MultipartReader(request.headers, _FewLines(request.content)):
                    if len(images) > max_images:
                        break
                    images.append(await _read_part(part, limit - sum(map(len, images)), received))
            except (ValueError, RuntimeError, AssertionError, BadHttpMessage) as error:
                raise BodyUnreadable(f"the body is not {MULTIPART}, or not whole") from error
    return images


class _FewLines(StreamReader):
    """A body whose lines, such as boundaries and headers, are no more than a form needs.

    aiohttp looks for the first boundary in line after line, and lets nobody else have a turn meanwhile.
    """

    def __init__(self, content: StreamReader) -> None:
        self._body = content
        self._lines = 0

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        """Raises BodyUnreadable."""
        line = await self._body.readline(max_line_length=max_line_length)
        self._lines += len(line)
        if self._lines > MAX_FORM_BYTES:
            raise BodyUnreadable(f"the body has more than {MAX_FORM_BYTES} bytes beside its images")
        return line

    async def read(self, n: int = -1) -> bytes:
        return await self._body.read(n)

    def at_eof(self) -> bool:
        return self._body.at_eof()

    def unread_data(self, data: bytes) -> None:
        self._body.unread_data(data)


def is_multipart(request: web.BaseRequest) -> bool:
    return request.content_type == MULTIPART


async def _read_part(part: object, limit: int, received: Received) -> bytes:
    if not isinstance(part, BodyPartReader) or _is_encoded(part):
        raise BodyUnreadable("a part of the body is encoded, or has parts itself; images come as they are")
    image = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        received.count(len(chunk))
        image += chunk
        if len(image) > limit:
            raise _too_large(limit)
    return bytes(image)


def _is_encoded(part: BodyPartReader) -> bool:
    transfer = part.headers.get("Content-Transfer-Encoding", "binary").lower()
    return "Content-Encoding" in part.headers or transfer not in {"binary", "7bit", "8bit"}


def _check_head(request: web.BaseRequest, limit: int) -> None:
    """What can be known before a byte of the body is."""
    if "Content-Encoding" in request.headers:
        raise BodyUnreadable("the body is encoded; images come as they are")
    _check_length(request, limit)


def _check_length(request: web.BaseRequest, limit: int) -> None:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)


@asynccontextmanager
async def _in_time(request: web.BaseRequest, deadline: float | None) -> AsyncIterator[None]:
    if request.content.is_eof():  # most bodies are there when their request is looked at
        yield
        return
    if isinstance(request.protocol, Connection):
        request.protocol.ask_for_body()
    latest = time.monotonic() + BODY_S
    try:
        async with asyncio.timeout_at(latest if deadline is None else min(latest, deadline)):
            yield
    except TimeoutError:
        if deadline is not None and deadline < latest:
            raise DeadlinePassed("the deadline passed before the body was there") from None
        raise BodyStalled(f"the body was not there after {BODY_S:g} s") from None
    except web.RequestPayloadError as error:
        raise BodyUnreadable("the body is not what its headers say") from error


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"a body has at most {limit} bytes here; this one has more")
