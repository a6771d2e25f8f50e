"""What every call goes through, whichever service it is of: its caller known, its bytes parsed, its end told.

It is counted, of a sample logged, and ended with its status.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from fovea.v1 import classify_pb2 as pb
from server.access.access import Access
from server.calls.access_log import Call, log_call, logger
from server.errors import FieldInvalid, PermissionDenied
from server.statuses import reason_of, status_of
from server.telemetry.call_metrics import CallMetrics

if TYPE_CHECKING:
    from server.calls.call_traces import CallTraces

MAX_REQUEST_ID_BYTES: Final = 128
CLOCKS_DIFFER_S: Final = 0.05
"""A caller gives up at its deadline by its own clock, and here that may seem a little early."""

ALWAYS_LOGGED: Final = "INTERNAL"
"""The code of a bug."""

Context = grpc.aio.ServicerContext[Any, Any]

RequestLimit = Callable[[bytes], None]
"""Raises FieldInvalid for bytes that shall not be parsed, DecodeError for those that cannot be."""

Parse = Callable[[bytes], Any]
"""Gives a method its request. Raises DecodeError."""

NO_PARSERS: Final[Mapping[str, Parse]] = {}


def add_service(
    calls: grpc.aio.Server,
    service: ServiceDescriptor,
    servicer: object,
    limits: Mapping[str, RequestLimit],
    parsers: Mapping[str, Parse] = NO_PARSERS,
) -> None:
    """As the generated `add_...Servicer_to_server`, but each method must `refuse_malformed` requests.

    gRPC would end such a call by itself: as UNKNOWN, with a traceback in the log and in no metric.
    `limits` and `parsers` are by the methods' names; not every one has a limit, or any parser but protobuf's.
    """
    handlers = {
        method.name: _handler(
            method,
            getattr(servicer, method.name),
            _parser(method, limits.get(method.name), parsers.get(method.name)),
        )
        for method in service.methods
    }
    calls.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    calls.add_registered_method_handlers(service.full_name, handlers)


class AccessLog:
    """Draws the calls that are logged; at debug level each one is."""

    def __init__(self, sample: float, draw: Callable[[], float] = random.random) -> None:
        """`sample`: the share of the calls that get a line; `draw` gives numbers from [0, 1)."""
        self._sample = sample
        self._draw = draw

    def show(self, call: Call, code: str, seconds: float) -> None:
        if self._draw() < self._sample or code == ALWAYS_LOGGED:
            log_call(logging.INFO, call, code, seconds)
        elif logger.isEnabledFor(logging.DEBUG):
            log_call(logging.DEBUG, call, code, seconds)


class Calls:
    """Shows the calls of the services, and how each ended, to the metrics and the log."""

    def __init__(
        self,
        metrics: CallMetrics,
        access_log: AccessLog,
        prefix: str = "",
        access: Access | None = None,
        traces: "CallTraces | None" = None,
    ) -> None:
        """`prefix` is put before the methods' names. Without `access` anybody may call."""
        self._prefix = prefix
        self._refused = metrics.refused
        self._requests = cache(metrics.requests.labels)
        self._seconds = cache(metrics.request_seconds.labels)
        self._access_log = access_log
        self._access = access
        self._traces = traces

    def answering(
        self,
        method: str,
        request: object,
        request_id: str,
        context: Context,
        deadline: float | None,
        caller: str | None = None,
    ) -> "Answering":
        """Lets a call in that may be made; ends one that fails with its status; counts and logs each.

        `request` is None for a stream of them, `caller` the one that is known already.
        """
        call = Call(self._prefix + method, request_id[:MAX_REQUEST_ID_BYTES], context.peer)
        if self._access is None:
            caller = ""
        if self._traces is not None:
            call.trace = self._traces.begin(method, context)
        return Answering(self, call, request, context, deadline, caller)

    async def caller_of(self, method: str, context: Context) -> str:
        """The name that its token has. Raises Unauthenticated, PermissionDenied, KeysUnreachable."""
        if self._access is None:
            return ""
        return await self._access.check(method.removeprefix(self._prefix), context)

    def ended(self, call: Call, code: str, error: Exception | None = None) -> None:
        """Counts and logs it."""
        seconds = time.monotonic() - call.started
        self._requests(call.method, code).inc()
        if call.trace is None:
            self._seconds(call.method).observe(seconds)
        else:
            self._seconds(call.method).observe(seconds, call.trace.exemplar)
            call.trace.end(call, code, error)
        self._access_log.show(call, code, seconds)

    def status(self, error: Exception, request_id: str) -> Status:
        """Counts what was refused, and says it."""
        self._refused.labels(reason_of(error)).inc()
        return status_of(error, request_id)


@dataclass(slots=True)
class Answering:
    """The block in which a call is answered."""

    calls: Calls
    call: Call
    request: object
    context: Context
    deadline: float | None
    caller: str | None

    async def __aenter__(self) -> Call:
        try:
            known = self.caller
            self.call.caller = (
                await self.calls.caller_of(self.call.method, self.context) if known is None else known
            )
            refuse_malformed(self.request)
        except PermissionDenied as error:
            self.call.caller = error.caller
            await self._fail(error)
        except Exception as error:
            await self._fail(error)
        except BaseException:  # the caller no longer waits
            self.calls.ended(self.call, _code_of_abandoned(self.deadline).name)
            raise
        return self.call

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self.calls.ended(self.call, grpc.StatusCode.OK.name)
        elif isinstance(error, Exception):
            await self._fail(error)
        else:  # the caller no longer waits
            self.calls.ended(self.call, _code_of_abandoned(self.deadline).name)

    async def _fail(self, error: Exception) -> None:
        status = rpc_status.to_status(self.calls.status(error, self.call.request_id))
        # First, so that who knows of it finds it counted.
        self.calls.ended(self.call, status.code.name, error)
        await self.context.abort_with_status(status)


def note(call: Call, response: pb.ClassifyResponse) -> None:
    """One more of the call's images was answered; an empty response is one that could not be."""
    call.images += 1
    call.version = response.model.version or call.version
    call.batch_size = max(call.batch_size, response.timing.batch_size)
    if call.trace is not None:
        call.trace.note(response)


def check_request_id(field: str, request_id: str) -> None:
    """Raises FieldInvalid for one that is too long; `field` is what the service calls it."""
    if len(request_id.encode()) > MAX_REQUEST_ID_BYTES:
        raise FieldInvalid(field, f"{field} must have at most {MAX_REQUEST_ID_BYTES} bytes")


def deadline_of(context: Context) -> float | None:
    """On `time.monotonic`'s clock; None when the caller set none."""
    remaining = context.time_remaining()
    return None if remaining is None or math.isinf(remaining) else time.monotonic() + remaining


@dataclass(frozen=True)
class Malformed:
    """What a method gets in place of a request that cannot be parsed, or is not to be."""

    why: str
    field: str = "request"


def refuse_malformed(request: object) -> None:
    """Raises FieldInvalid where there is no request."""
    if isinstance(request, Malformed):
        raise FieldInvalid(request.field, request.why)


def _handler(
    method: MethodDescriptor, answer: Callable[..., Any], parse: Parse
) -> "grpc.RpcMethodHandler[Any, Any]":
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    is_unary = not method.server_streaming
    return kinds[method.client_streaming, method.server_streaming](
        _without_references(answer) if is_unary else answer,
        request_deserializer=parse,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )


def _without_references(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps nothing of a call that was refused.

    gRPC's context holds the exception that ended the call, whose traceback holds each frame, which hold the
    context, the request and its images: until the garbage collection, which may be a gigabyte later.
    """

    async def answer_without_references(request: Any, context: Any) -> Any:
        refused: BaseException | None = None
        try:
            return await answer(request, context)
        except grpc.aio.AbortError as error:
            refused = error.with_traceback(None)
            refused.__context__ = None
        del request, context
        try:
            raise refused
        finally:
            del refused

    return answer_without_references


def _parser(method: MethodDescriptor, limit: RequestLimit | None, parser: Parse | None) -> Parse:
    from_bytes = parser or GetMessageClass(method.input_type).FromString
    malformed = Malformed(f"the request is not a {method.input_type.full_name} in protobuf's encoding")

    def parse(data: bytes) -> Any:
        try:
            return from_bytes(data)
        except DecodeError:
            return malformed

    if limit is None:
        return parse

    def check_and_parse(data: bytes) -> Any:
        try:
            limit(data)
        except FieldInvalid as refusal:
            return Malformed(str(refusal), refusal.field)
        except DecodeError:
            return malformed
        return parse(data)

    return check_and_parse


def _code_of_abandoned(deadline: float | None) -> grpc.StatusCode:
    """Whether the caller went away, or only its deadline passed."""
    in_time = deadline is None or deadline - time.monotonic() > CLOCKS_DIFFER_S
    return grpc.StatusCode.CANCELLED if in_time else grpc.StatusCode.DEADLINE_EXCEEDED
