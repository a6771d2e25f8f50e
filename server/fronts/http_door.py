"""The port of HTTP: callers reach it at once, and are answered when what answers them is loaded."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from server.background import in_background
from server.config import ServeSettings
from server.net.ports import listen_http
from server.net.tls import certificates_of

if TYPE_CHECKING:
    from server.http.server import HttpServer

LATE: Final = "server.http.routes"
"""Its import takes a moment, aiohttp's above all, in which other processes load the model."""


class HttpDoor:
    """Listens first, and opens the HTTP server beside whatever else the process does."""

    def __init__(
        self, settings: ServeSettings, make: "Callable[[], HttpServer]", *, shares_port: bool = False
    ) -> None:
        """`make` is called in the event loop, when LATE is imported."""
        self._settings = settings
        self._make = make
        self._shares_port = shares_port
        self._server: HttpServer | None = None
        self._sockets: list[socket.socket] = []
        self._opening: asyncio.Task[None] | None = None

    def listen(self, port: int) -> int:
        """Returns the number of the port, where callers wait from now on. Raises Unavailable, DataInvalid."""
        self._sockets = listen_http(self._settings.host, port, is_shared=self._shares_port)
        certificates = certificates_of(self._settings)  # of its own: see `Certificates.context`
        tls = certificates.context() if certificates else None
        self._opening = asyncio.create_task(self._open(tls))
        return int(self._sockets[0].getsockname()[1])

    async def has_opened(self) -> None:
        """Returns when callers are answered. Given up, the server is not opened any more."""
        if self._opening is not None:
            await self._opening

    async def close(self) -> None:
        """However far it has come. Answers that are ready are sent: see `HttpServer`."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._server is not None:
            await self._server.close()
        for each in self._sockets:
            each.close()

    async def _open(self, tls: ssl.SSLContext | None) -> None:
        await in_background(lambda: import_module(LATE))
        self._server = self._make()
        await self._server.open(self._sockets, tls)
