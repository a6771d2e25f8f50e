"""A connection, as aiohttp has them: what is no HTTP gets a problem too, and bodies come when asked for."""

import asyncio
import logging
import random
from typing import Final

import grpc
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from fovea.printable import shortened
from server.http.call import request_id_of
from server.http.problems import Problem
from server.statuses import status_of

IDLE_S: Final = 60.0
"""A connection on which no whole request head came for so long is closed."""
REFUSED_BODY_S: Final = 1.0
"""So long is the rest of a body read that was refused: a caller that is still sending would not read why."""

NAME: Final = {"Server": "Fovea"}
"""Of each answer, instead of Python's version and aiohttp's."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LONGEST_REASON: Final = 200


class Connection(web.RequestHandler):
    """Answers the requests that come on it, one after the other."""

    __slots__ = ("_expects", "_old_at")

    def __init__(self, server: web.Server, max_age_s: float) -> None:
        """Callers that came at the same time do not come again at the same time: their ages differ."""
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # which says that there is none
            logger=logging.getLogger("aiohttp.server"),
            auto_decompress=False,
            keepalive_timeout=IDLE_S,
            lingering_time=REFUSED_BODY_S,
        )
        self._old_at = loop.time() + max_age_s * random.uniform(0.9, 1.1)
        self._expects = False

    @property
    def is_old(self) -> bool:
        """Its caller is to connect anew, and so finds new servers."""
        return self._loop.time() >= self._old_at

    def begin(self, *, expects: bool) -> None:
        """A request is there, whose caller may wait for a word before it sends the body."""
        self._expects = expects

    def ask_for_body(self) -> None:
        """For a body that is not refused by what is known before it comes."""
        if self._expects and self.transport is not None:
            self.transport.write(_CONTINUE)
        self._expects = False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Of what does not get as far as a route. What is no HTTP leaves no line: anybody can send it."""
        if isinstance(exc, HttpProcessingError):
            reason = shortened(exc.message.partition("\n")[0].rstrip(":"), _LONGEST_REASON)
            said = f"this is no request of HTTP/1.1: {reason}"
            problem = Problem.of(grpc.StatusCode.INVALID_ARGUMENT, said)
        else:
            bug = exc if isinstance(exc, Exception) else RuntimeError(message or status)
            problem = Problem(status_of(bug, request_id_of(request)))
        response = problem.response()
        response.headers.update(NAME)
        response.force_close()
        return response
