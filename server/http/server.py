"""The server of HTTP/1.1: aiohttp's, in the event loop of the calls, with a bound on what it holds open.

Of aiohttp's own it takes the parser, keep-alive, and that a handler is cancelled when its caller goes.
"""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, cast

import grpc
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from server.calls.answering import MAX_REQUEST_ID_BYTES
from server.calls.draining import SEND_S
from server.http.call import REQUEST_ID, request_id_of
from server.http.problems import Problem
from server.statuses import status_of

MAX_CONNECTIONS: Final = 1000
"""Of one process, or half of the files that it may have open. The oldest idle one makes room for another."""
IDLE_S: Final = 60.0
"""A connection on which no whole request head came for so long is closed."""
HANDSHAKE_S: Final = 5.0
"""Of TLS. A connection counts from its end on."""
REFUSED_BODY_S: Final = 1.0
"""So long is the rest of a body read that was refused: a caller that is still sending would not read why."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Answers on sockets that are bound already; made in the event loop that it serves in."""

    def __init__(
        self,
        add_routes: Callable[[web.UrlDispatcher], object],
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """While `is_ready` says no, answers end their connections."""
        self._is_ready = is_ready
        app = web.Application(middlewares=[self._answer])
        add_routes(app.router)
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            handler_cancellation=True,
            access_log=None,
            logger=_aiohttp_log(),
            auto_decompress=False,
            keepalive_timeout=IDLE_S,
            lingering_time=REFUSED_BODY_S,
            shutdown_timeout=SEND_S,
        )
        self._listening: list[asyncio.Server] = []
        self._answering: set[object] = set()
        """The connections on which a request is being answered."""

    async def open(self, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        await self._runner.setup()
        self._server = cast("web.Server", self._runner.server)
        loop = asyncio.get_running_loop()
        for each in sockets:
            listening = await loop.create_server(
                self._connected,
                sock=each,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_S if tls else None,
                ssl_shutdown_timeout=SEND_S if tls else None,
            )
            self._listening.append(listening)

    async def close(self) -> None:
        """Answers that are ready have SEND_S to be sent."""
        for each in self._listening:
            each.close()
        await self._runner.cleanup()

    def _connected(self) -> asyncio.Protocol:
        """For a new connection."""
        server = self._server
        surplus = len(server.connections) + 1 - max_connections()
        return server() if surplus <= 0 or self._make_room(surplus) else _Full()

    def _make_room(self, surplus: int) -> bool:
        """Closes so many idle ones, the oldest first. False where too many are busy."""
        connections = self._server.connections
        open_ones = [each for each in connections if each.transport is not None]
        surplus -= len(connections) - len(open_ones)  # which are closed already, and have not gone yet
        idle = [each for each in open_ones if each not in self._answering][: max(0, surplus)]
        for each in idle:
            transport = cast("asyncio.Transport", each.transport)
            each.force_close()
            transport.abort()  # a caller who reads nothing would hold it open
        return len(idle) >= surplus

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        self._answering.add(connection)
        try:
            response = await handler(request)
        except Problem as problem:
            response = problem.response(request.path)
        except web.HTTPException as refused:
            response = _of_aiohttp(refused).response(request.path)
            response.headers.update(
                {name: value for name, value in refused.headers.items() if name == "Allow"}
            )
        except Exception as bug:
            response = Problem(status_of(bug, request_id_of(request))).response(request.path)
        finally:
            self._answering.discard(connection)
        response.headers["Server"] = "Fovea"  # instead of Python's version, and aiohttp's
        if request_id := request_id_of(request):
            response.headers[REQUEST_ID] = request_id[:MAX_REQUEST_ID_BYTES]
        if not self._is_ready():
            response.force_close()  # whoever it is connects anew, and gets a server that is ready
        return response


class _Full(asyncio.Protocol):
    """Tells a caller that there is no room, whatever it asks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        full = cast("asyncio.Transport", transport)
        full.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        full.close()


def _aiohttp_log() -> logging.Logger:
    """Without what is no HTTP: aiohttp tells of it as an error, with a traceback, and anybody can send it."""
    log = logging.getLogger("aiohttp.server")
    log.addFilter(_is_not_the_callers)
    return log


def _is_not_the_callers(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


def max_connections() -> int:
    """Of the files that may be open, calls over gRPC need some too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


def _of_aiohttp(refused: web.HTTPException) -> Problem:
    """There is no such path, or it takes other methods."""
    code = grpc.StatusCode.NOT_FOUND if refused.status == 404 else grpc.StatusCode.UNIMPLEMENTED
    return Problem.of(code, refused.reason, refused.status)
