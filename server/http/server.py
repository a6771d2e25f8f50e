"""The server of HTTP/1.1: aiohttp's, in the event loop of the calls, with a bound on what it holds open.

Of aiohttp's own it takes the parser, keep-alive, and that a handler is cancelled when its caller goes.
"""

import asyncio
import math
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, cast

import grpc
from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from server.calls.answering import MAX_REQUEST_ID_BYTES
from server.calls.draining import SEND_S
from server.http.call import REQUEST_ID, TRACE, request_id_of
from server.http.connection import NAME, Connection
from server.http.handshakes import Handshakes
from server.http.problems import Problem
from server.statuses import status_of

MAX_CONNECTIONS: Final = 1000
"""Of one process, or half of the files that it may have open. The oldest idle one makes room for another."""
HANDSHAKES: Final = 0.1
"""So large a share of the connections may shake hands at a time, where there is TLS. The oldest gives way."""
HANDSHAKE_S: Final = 5.0
"""It may last so long."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Answers on sockets that are bound already; made in the event loop that it serves in."""

    def __init__(
        self,
        add_routes: Callable[[web.UrlDispatcher], object],
        is_ready: Callable[[], bool] = lambda: True,
        max_connection_age_s: float = math.inf,
    ) -> None:
        """While `is_ready` says no, answers end their connections; so they do on those that are as old."""
        self._is_ready = is_ready
        self._max_connection_age_s = max_connection_age_s
        app = web.Application(middlewares=[self._answer])
        add_routes(app.router)
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=SEND_S,
        )
        self._listening: list[asyncio.Server] = []
        self._answering: set[object] = set()
        """The connections on which a request is being answered."""
        self._handshakes = Handshakes()
        self._has_tls = False

    async def open(self, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        await self._runner.setup()
        self._server = cast("web.Server", self._runner.server)
        self._make_request, self._server.request_factory = self._server.request_factory, self._request
        self._has_tls = tls is not None
        loop = asyncio.get_running_loop()
        for each in sockets:
            listening = await loop.create_server(
                self._connected,
                sock=each,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_S if tls else None,
                ssl_shutdown_timeout=SEND_S if tls else None,
                start_serving=False,
            )
            self._listening.append(listening)
            await listening.start_serving()  # `close` knows of it, should this be given up

    async def close(self) -> None:
        """Answers that are ready have SEND_S to be sent."""
        for each in self._listening:
            each.close()
        await self._runner.cleanup()

    def _connected(self) -> asyncio.Protocol:
        """For a new connection. With TLS, before the handshake."""
        most, server = max_connections(), self._server
        surplus = len(server.connections) + len(self._handshakes) + 1 - most
        if self._has_tls:
            self._handshakes.begin(max(1, int(most * HANDSHAKES)))
        if surplus > 0 and not self._make_room(surplus):
            return _Full()
        return Connection(server, self._max_connection_age_s)

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
        connection = cast("Connection", request.protocol)
        self._answering.add(connection)
        response: web.StreamResponse | None = None
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
            if (trace := request.get(TRACE)) is not None:
                trace.answered_with(response.status if response else None)
        response.headers.update(NAME)
        if request_id := request_id_of(request):
            response.headers[REQUEST_ID] = request_id[:MAX_REQUEST_ID_BYTES]
        if connection.is_old or not self._is_ready():
            response.force_close()  # whoever it is connects anew, and gets a server that is ready
        return response

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """Keeps back what a caller expects: aiohttp would ask for the body before anybody knows who it is."""
        expected = message.headers.get(hdrs.EXPECT)
        if expected is not None:
            headers = message.headers.copy()
            headers.popall(hdrs.EXPECT)
            message = message._replace(headers=type(message.headers)(headers))
        cast("Connection", connection).begin(
            expects=expected is not None
            and expected.lower() == "100-continue"
            and message.version >= HttpVersion11
        )
        return self._make_request(message, payload, connection, writer, task)


class _Full(asyncio.Protocol):
    """Tells a caller that there is no room, whatever it asks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        full = cast("asyncio.Transport", transport)
        full.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        full.close()


def max_connections() -> int:
    """Of the files that may be open, calls over gRPC need some too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


def _of_aiohttp(refused: web.HTTPException) -> Problem:
    """There is no such path, or it takes other methods."""
    code = grpc.StatusCode.NOT_FOUND if refused.status == 404 else grpc.StatusCode.UNIMPLEMENTED
    return Problem.of(code, refused.reason, refused.status)
