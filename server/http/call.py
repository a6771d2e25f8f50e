"""A call that came over HTTP, as the services see one: as much of gRPC's context as they use."""

import asyncio
import time
from collections.abc import Awaitable
from http import HTTPStatus
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final, Never, TypeVar, cast

import grpc
from aiohttp import web
from google.rpc.status_pb2 import Status

from fovea.sticky import STICKY_KEY
from server.access.access import AUTHORIZATION
from server.calls.answering import Calls, Context
from server.errors import (
    BodyStalled,
    BodyTooLarge,
    DeadlinePassed,
    EncodingUnknown,
    FieldInvalid,
    PermissionDenied,
)
from server.http.problems import Problem

if TYPE_CHECKING:
    from server.calls.call_traces import CallTrace

R = TypeVar("R")

TIMEOUT: Final = "X-Timeout-Ms"
REQUEST_ID: Final = "X-Request-Id"
LONGEST_TIMEOUT_MS: Final = 86_400_000
"""A day: what is longer is no deadline."""

HTTP_OF: Final[dict[type[Exception], int]] = {
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    BodyStalled: HTTPStatus.REQUEST_TIMEOUT,
    EncodingUnknown: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}
"""Where HTTP has a number of its own."""

_DETAILS: Final = "grpc-status-details-bin"
_TOLD: Final = (AUTHORIZATION, STICKY_KEY, "traceparent", "tracestate")
TRACE: Final = cast("web.RequestKey[CallTrace]", web.RequestKey("trace", object))
"""By it a request has its span, where there are any."""


class HttpCall:
    """Its caller's address and deadline, and how it ends when it is refused."""

    def __init__(self, request: web.BaseRequest) -> None:
        self.request_id = request_id_of(request)
        self.deadline: float | None = None
        """On `time.monotonic`'s clock, which is the event loop's too."""
        self._request = request
        self._transport = request.transport
        self._headers = request.headers
        self._caller = ""

    async def begin(self, calls: Calls, method: str) -> None:
        """Reads who calls and the deadline, before there is a body.

        Raises Unauthenticated, PermissionDenied, KeysUnreachable, FieldInvalid, DeadlinePassed.
        """
        timeout = self._headers.get(TIMEOUT)
        if timeout is None:
            self._caller = await calls.caller_of(method, self.context)
            return
        try:
            self.deadline = time.monotonic() + _seconds(timeout)
        except FieldInvalid:
            self._caller = await calls.caller_of(method, self.context)  # strangers hear of that first
            raise
        try:
            async with asyncio.timeout_at(self.deadline):
                self._caller = await calls.caller_of(method, self.context)
        except TimeoutError:
            raise DeadlinePassed("the deadline passed before it was known who calls") from None

    @property
    def context(self) -> Context:
        """For a service."""
        return cast("Context", self)

    def peer(self) -> str:
        """In gRPC's words."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        if not name:
            return "unknown"
        host, port = name[0], name[1]
        if ":" not in host:
            return f"ipv4:{host}:{port}"
        mapped = IPv6Address(host.partition("%")[0]).ipv4_mapped
        return f"ipv4:{mapped}:{port}" if mapped else f"ipv6:[{host}]:{port}"

    def invocation_metadata(self) -> list[tuple[str, str]]:
        """As much of its headers as says who calls, for whom, and as part of what."""
        return [(name, value) for name in _TOLD for value in self._headers.getall(name, ())]

    def span_facts(self) -> tuple[str, dict[str, str]]:
        """See `call_traces.OverHttp`."""
        request = self._request
        route = request.match_info.route.resource if isinstance(request, web.Request) else None
        facts = {
            "http.request.method": request.method,
            "url.scheme": request.scheme,
            "url.path": request.path,
            **({"http.route": route.canonical} if route else {}),
        }
        return f"{request.method} {route.canonical}" if route else request.method, facts

    def traced(self, trace: "CallTrace") -> None:
        """See `call_traces.OverHttp`."""
        self._request[TRACE] = trace

    def time_remaining(self) -> float | None:
        """In seconds; None when the caller set no deadline."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    async def abort_with_status(self, status: grpc.Status) -> Never:
        """Raises Problem."""
        packed = dict(status.trailing_metadata or ())[_DETAILS]
        raise Problem(Status.FromString(cast("bytes", packed)))

    async def ended_in_time(self, answer: Awaitable[R]) -> R:
        """What is awaited, unless the deadline comes first: gRPC ends its calls by itself then."""
        if self.deadline is None:
            return await answer
        try:
            async with asyncio.timeout_at(self.deadline):
                return await answer
        except TimeoutError:
            raise Problem.of(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed") from None

    async def refuse(self, calls: Calls, method: str, error: Exception) -> Never:
        """Ends a call that does not get as far as a service: it is counted as others are. Raises Problem."""
        try:
            known = error.caller if isinstance(error, PermissionDenied) else self._caller
            async with calls.answering(method, None, self.request_id, self.context, self.deadline, known):
                raise error.with_traceback(None)
        except Problem as problem:
            problem.http = HTTP_OF.get(type(error), problem.http)
            raise
        finally:
            del error  # it would hold itself, and what was read of the body, until the garbage collection


def request_id_of(request: web.BaseRequest) -> str:
    """Its caller's. Bytes that are no UTF-8 come as surrogates, which no message of protobuf holds."""
    return request.headers.get(REQUEST_ID, "").encode(errors="backslashreplace").decode()


def _seconds(timeout_ms: str) -> float:
    try:
        milliseconds = float(timeout_ms)
    except ValueError:
        milliseconds = 0
    if not 0 < milliseconds <= LONGEST_TIMEOUT_MS:
        raise FieldInvalid(
            TIMEOUT, f"{TIMEOUT} must be a number of milliseconds from above 0 to {LONGEST_TIMEOUT_MS}"
        )
    return milliseconds / 1000
