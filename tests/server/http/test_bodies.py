"""What HTTP bodies may be: how many bytes, how slow, how many at once; and callers that go."""

import asyncio
import gc
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
from aiohttp import web

from server.calls.answering import AccessLog, Calls
from server.errors import BodyStalled, BodyTooLarge, BodyUnreadable, DeadlinePassed, QueueFull, Refused
from server.http import bodies
from server.http.bodies import Receiving, read_body, read_images
from server.http.call import HttpCall
from server.http.server import HttpServer
from server.net.ports import listen_http
from server.telemetry.call_metrics import OwnCallMetrics
from tests.server.event_loop import in_event_loop, until
from tests.server.http.calls import form

CALLS: Final = Calls(OwnCallMetrics(None), AccessLog(0))
LIMIT: Final = 100_000
POST: Final = b"POST / HTTP/1.1\r\nHost: x\r\n"

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """The port of a server that answers every POST so."""
    server = HttpServer(lambda router: router.add_post("/", handler))
    sockets = listen_http("127.0.0.1", 0)
    await server.open(sockets, None)
    try:
        yield int(sockets[0].getsockname()[1])
    finally:
        await server.close()


class Reader:
    """Reads bodies, and keeps what came of each."""

    def __init__(self, max_bytes: int = 10 * LIMIT) -> None:
        self.receiving = Receiving(max_bytes)
        self.ends: list[bytes | list[bytes] | BaseException] = []

    async def whole(self, request: web.Request) -> web.Response:
        return await self._kept(read_body(request, LIMIT, self.receiving, await _deadline(request)))

    async def parts(self, request: web.Request) -> web.Response:
        return await self._kept(read_images(request, 3, LIMIT, self.receiving, await _deadline(request)))

    async def _kept(self, reading: Awaitable[bytes | list[bytes]]) -> web.Response:
        try:
            self.ends.append(await reading)
        except BaseException as error:
            self.ends.append(error)
            if not isinstance(error, Refused):
                raise
        return web.Response()


async def _deadline(request: web.Request) -> float | None:
    call = HttpCall(request)
    await call.begin(CALLS, "Classify")
    return call.deadline


async def send(port: int, *pieces: bytes) -> bytes:
    """The head of the answer to what is sent; empty where the connection was closed instead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.readline()
    finally:
        writer.close()


def sized(size: int, body: bytes, extra: bytes = b"") -> bytes:
    return POST + extra + b"Content-Length: %d\r\n\r\n" % size + body


def chunked(*chunks: bytes) -> bytes:
    written = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + written


@in_event_loop
async def test_body_comes_as_it_was_sent_whole_or_in_chunks() -> None:
    reader = Reader()
    body = bytes(range(256)) * 300
    async with serving(reader.whole) as port:
        await send(port, sized(len(body), body))
        await send(port, sized(len(body), body[:1000]), body[1000:])
        await send(port, chunked(body[:7], body[7:70_000], body[70_000:], b""))
        await send(port, sized(0, b""))
    assert reader.ends == [body, body, body, b""]
    assert reader.receiving.bytes == 0


@in_event_loop
async def test_who_waits_for_a_word_before_a_body_hears_it_once_and_nobody_else_does() -> None:
    reader = Reader()
    for expected, version, said in (
        (b"100-Continue", b"1.1", [b"100", b"200"]),
        (b"100-continue", b"1.0", [b"200"]),
        (b"something", b"1.1", [b"200"]),
    ):
        async with serving(reader.whole) as port:
            incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
            head = sized(4, b"", b"Expect: " + expected + b"\r\nConnection: close\r\n")
            outgoing.write(head.replace(b"HTTP/1.1", b"HTTP/" + version))
            before = len(reader.ends)
            if said[0] == b"100":
                await incoming.readuntil(b"100 Continue\r\n\r\n")
            outgoing.write(b"bo")
            await until(lambda: reader.receiving.bytes == 2)
            outgoing.write(b"dy")
            assert re.findall(rb"HTTP/1.. (\d+)", await incoming.read()) == said[-1:]
            assert reader.ends[before:] == [b"body"]
            outgoing.close()


@in_event_loop
async def test_parts_come_as_they_were_sent_whatever_they_are_called() -> None:
    reader = Reader()
    image = b"\xff\xfe\r\n--not the boundary\r\n" + bytes(range(256)) * 100
    named = "Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: 8bit\r\n"
    async with serving(reader.parts) as port:
        for extra in ("", named):
            body, headers = form([image, b"", image], extra=extra)
            content_type = f"Content-Type: {headers['Content_Type']}\r\n".encode()
            await send(port, sized(len(body), body, content_type))
    assert reader.ends == [[image, b"", image]] * 2
    assert reader.receiving.bytes == 0


@in_event_loop
async def test_lines_before_the_first_part_are_few() -> None:
    reader = Reader()
    content_type = f"Content-Type: {form([])[1]['Content_Type']}\r\n".encode()
    for lines in (b"\n" * LIMIT, b"a preamble\r\n" * (LIMIT // 12)):
        async with serving(reader.parts) as port:
            await send(port, sized(len(lines), lines, content_type))
            await send(port, chunked(lines).replace(POST, POST + content_type, 1))  # which does not end
    assert [type(end) for end in reader.ends] == [BodyUnreadable] * 4
    assert all("beside its images" in str(end) for end in reader.ends)


@in_event_loop
async def test_nothing_is_left_of_a_body_that_was_refused() -> None:
    reader, calls = Reader(), Calls(OwnCallMetrics(None), AccessLog(0))

    async def refuse(request: web.Request) -> web.Response:
        try:
            await read_body(request, LIMIT, reader.receiving, None)
        except Refused as error:
            await HttpCall(request).refuse(calls, "Classify", error)
        raise AssertionError("it was not refused")

    gc.collect()
    gc.disable()
    try:
        async with serving(refuse) as port:
            assert (await send(port, chunked(bytes(LIMIT), b"x"))).startswith(b"HTTP/1.1 413")
        assert [each for each in gc.get_objects() if isinstance(each, BodyTooLarge)] == []
    finally:
        gc.enable()


@in_event_loop
async def test_body_above_the_limit_is_refused_as_soon_as_that_is_known() -> None:
    reader = Reader()
    async with serving(reader.whole) as port:
        await send(port, sized(LIMIT, bytes(LIMIT)))
        await send(port, sized(LIMIT + 1, b""))  # of which nothing came
        await send(port, chunked(bytes(LIMIT), b"x"))  # which does not end
    assert reader.ends[0] == bytes(LIMIT)
    assert [type(end) for end in reader.ends[1:]] == [BodyTooLarge] * 2
    parts, headers = form([bytes(LIMIT // 2 + 1)] * 2)
    content_type = f"Content-Type: {headers['Content_Type']}\r\n".encode()
    async with serving(reader.parts) as port:
        await send(port, sized(len(parts), parts, content_type))
    assert isinstance(reader.ends[-1], BodyTooLarge)
    assert reader.receiving.bytes == 0


@in_event_loop
async def test_body_that_stalls_is_given_up_and_a_deadline_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    async with serving(reader.whole) as port:
        await send(port, sized(10, b"half", b"X-Timeout-Ms: 50\r\n"))
        monkeypatch.setattr(bodies, "BODY_S", 0.05)
        await send(port, sized(10, b"half"))
        await send(port, sized(10, b"half", b"X-Timeout-Ms: 60000\r\n"))
    kinds = [type(end) for end in reader.ends]
    assert kinds == [DeadlinePassed, BodyStalled, BodyStalled]
    assert reader.receiving.bytes == 0


@in_event_loop
async def test_bodies_that_are_being_received_are_bounded_together() -> None:
    reader = Reader(max_bytes=15)
    async with serving(reader.whole) as port:
        first, second = (asyncio.create_task(send(port, sized(20, bytes(10)))) for _ in range(2))
        done, waiting = await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting)) == (1, 1)
        assert [type(end) for end in reader.ends] == [QueueFull]
        assert reader.receiving.bytes == 10
        for task in waiting:
            task.cancel()
        await until(lambda: reader.receiving.bytes == 0)


@in_event_loop
async def test_caller_who_goes_is_not_waited_for() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        started.set()
        try:
            await asyncio.Future()
        finally:
            ended.set()
        return web.Response()

    async with serving(answer) as port:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(sized(0, b""))
        await asyncio.wait_for(started.wait(), 10)
        connection.close()
        await asyncio.wait_for(ended.wait(), 10)


@in_event_loop
async def test_body_that_ends_early_is_no_body() -> None:
    reader = Reader()
    async with serving(reader.whole) as port:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(sized(10, b"half"))
        await until(lambda: reader.receiving.bytes == 4)
        connection.close()
        await until(lambda: bool(reader.ends))
    assert isinstance(reader.ends[0], BaseException)
    assert reader.receiving.bytes == 0
