"""The HTTP server among others: its connections are bounded, its end is a drain, its errors are ours."""

import asyncio
import json
import math
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web

from server.http import connection
from server.http import server as http_server
from server.http.server import HttpServer, max_connections
from server.net.ports import listen_http
from server.net.tls import Certificates
from tests.certificates import Authority
from tests.server.event_loop import in_event_loop, until

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Gate:
    """A server whose answers wait until a test lets them go."""

    def __init__(self, max_connection_age_s: float = math.inf) -> None:
        self.waiting = 0
        self._open = asyncio.Event()
        self.is_ready = True
        self.server = HttpServer(
            lambda router: router.add_get("/", self._answer), lambda: self.is_ready, max_connection_age_s
        )
        (self._socket,) = listen_http("127.0.0.1", 0)
        self.port = int(self._socket.getsockname()[1])

    async def open(self, tls: ssl.SSLContext | None = None) -> None:
        await self.server.open([self._socket], tls)

    def let_go(self) -> None:
        self._open.set()

    async def _answer(self, request: web.Request) -> web.Response:
        self.waiting += 1
        await self._open.wait()
        return web.Response(body=b"there")


async def connect(port: int, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]


async def head_of(reader: asyncio.StreamReader) -> Sequence[bytes]:
    """The lines of an answer's head; none where the connection was closed."""
    try:
        return (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return []


@in_event_loop
async def test_the_oldest_idle_connection_makes_room_and_one_that_waits_for_its_answer_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 3)
    gate = Gate()
    await gate.open()
    (asking, asking_writer), *_ = await connect(gate.port, 1)
    asking_writer.write(HEAD)
    await until(lambda: gate.waiting == 1)
    idle = await connect(gate.port, 2)
    newer = await connect(gate.port, 2)
    for reader, _ in idle:
        assert await head_of(reader) == []
    gate.let_go()
    newer[0][1].write(HEAD)
    for reader in (asking, newer[0][0]):
        assert (await head_of(reader))[0] == b"http/1.1 200 ok"
    await gate.server.close()


@in_event_loop
async def test_where_every_connection_is_busy_a_new_one_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 2)
    gate = Gate()
    await gate.open()
    busy = await connect(gate.port, 2)
    for _, writer in busy:
        writer.write(HEAD)
    await until(lambda: gate.waiting == 2)
    ((late, _),) = await connect(gate.port, 1)
    assert (await head_of(late))[0] == b"http/1.1 503 service unavailable"
    gate.let_go()
    for reader, _ in busy:
        assert (await head_of(reader))[0] == b"http/1.1 200 ok"
    await gate.server.close()


@in_event_loop
async def test_connection_on_which_no_head_comes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.1)
    gate = Gate()
    await gate.open()
    (silent, _), (slow, writer) = await connect(gate.port, 2)
    writer.write(HEAD[:-2])
    for reader in (silent, slow):
        assert await head_of(reader) == []
    await gate.server.close()


@in_event_loop
async def test_an_old_connection_ends_with_its_next_answer() -> None:
    for age_s, is_old in ((3600, False), (0, True)):
        gate = Gate(age_s)
        gate.let_go()
        await gate.open()
        ((reader, writer),) = await connect(gate.port, 1)
        writer.write(HEAD)
        lines = await head_of(reader)
        assert lines[0] == b"http/1.1 200 ok"
        assert (b"connection: close" in lines) == is_old
        await gate.server.close()


@in_event_loop
async def test_few_shake_hands_at_a_time_and_who_means_it_is_let_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 30)
    authority = Authority.create()
    identity = authority.issue("server")
    (tmp_path / "tls.crt").write_bytes(identity.certificate)
    (tmp_path / "tls.key").write_bytes(identity.key)
    gate = Gate()
    gate.let_go()
    await gate.open(Certificates(tmp_path / "tls.crt", tmp_path / "tls.key").context())
    silent = await connect(gate.port, 5)
    for reader, _ in silent[:2]:
        assert await head_of(reader) == []
    context = ssl.create_default_context(cadata=authority.pem.decode())
    for _ in range(4):  # more than may shake hands, if they did not end that
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gate.port, ssl=context, server_hostname="localhost"
        )
        writer.write(HEAD)
        assert (await head_of(reader))[0] == b"http/1.1 200 ok"
    assert await head_of(silent[2][0]) == []
    assert not silent[3][0].at_eof()
    await gate.server.close()


@in_event_loop
async def test_while_it_drains_answers_say_that_the_connection_ends() -> None:
    gate = Gate()
    await gate.open()
    (reader, writer), (idle, _) = await connect(gate.port, 2)
    writer.write(HEAD)
    await until(lambda: gate.waiting == 1)
    gate.is_ready = False
    closing = asyncio.create_task(gate.server.close())
    assert await head_of(idle) == []
    gate.let_go()
    assert b"connection: close" in await head_of(reader)
    await closing
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", gate.port))


@in_event_loop
async def test_a_bug_is_opaque_to_the_caller_and_whole_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: web.Request) -> web.Response:
        raise RuntimeError("a secret")

    server = HttpServer(lambda router: router.add_get("/", fail))
    (listening,) = listen_http("127.0.0.1", 0)
    await server.open([listening], None)
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(HEAD.replace(b"Host", b"X-Request-Id: one\r\nHost"))
    lines = await head_of(reader)
    assert lines[0] == b"http/1.1 500 internal server error"
    length = next(int(line.split()[1]) for line in lines if line.startswith(b"content-length"))
    assert b"a secret" not in (body := await reader.readexactly(length))
    assert b"request id one" in body
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a secret"
    await server.close()


def test_half_of_the_files_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, most in ((-1, 1000), (100_000, 1000), (1024, 512), (10, 5)):
        monkeypatch.setattr("resource.getrlimit", lambda _, soft=soft: (soft, soft))
        assert max_connections() == most


@in_event_loop
async def test_what_is_no_http_is_refused_and_says_nothing_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()
    await gate.open()
    for said in (
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",  # TLS where there is none
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(said)
        lines = await head_of(reader)
        assert lines == [] or lines[0].startswith((b"http/1.1 4", b"http/1.0 4")), said
        if lines:
            assert b"server: fovea" in lines, said
            assert b"content-type: application/problem+json" in lines, said
            problem = json.loads(await reader.read())
            assert problem["code"] == "INVALID_ARGUMENT", said
            assert problem["detail"].startswith("this is no request of HTTP/1.1: "), said
            assert len(problem["detail"]) < 300, said
        writer.close()
    assert [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"] == []
    await gate.server.close()
