"""How a service is added to the server of the calls, so that it may refuse bytes that are no request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from server.errors import FieldInvalid


@dataclass(frozen=True)
class Malformed:
    """What a method gets in place of a request that cannot be parsed, or is not to be."""

    why: str
    field: str = "request"


RequestLimit = Callable[[bytes], None]
"""Raises FieldInvalid for bytes that shall not be parsed, DecodeError for those that cannot be."""


def add_service(
    calls: grpc.aio.Server,
    service: ServiceDescriptor,
    servicer: object,
    limits: Mapping[str, RequestLimit],
) -> None:
    """As the generated `add_...Servicer_to_server`, but each method must `refuse_malformed` requests.

    `limits` are by the methods' names; not every one has a limit.

    gRPC would end such a call by itself: as UNKNOWN, with a traceback in the log and in no metric.
    """
    handlers = {
        method.name: _handler(method, getattr(servicer, method.name), limits.get(method.name))
        for method in service.methods
    }
    calls.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    calls.add_registered_method_handlers(service.full_name, handlers)


def refuse_malformed(request: object) -> None:
    """Raises FieldInvalid where there is no request."""
    if isinstance(request, Malformed):
        raise FieldInvalid(request.field, request.why)


def _handler(
    method: MethodDescriptor, answer: Callable[..., Any], limit: RequestLimit | None
) -> "grpc.RpcMethodHandler[Any, Any]":
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    is_unary = not method.server_streaming
    return kinds[method.client_streaming, method.server_streaming](
        _without_references(answer) if is_unary else answer,
        request_deserializer=_parser(method, limit),
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


def _parser(method: MethodDescriptor, limit: RequestLimit | None) -> Callable[[bytes], Any]:
    from_string = GetMessageClass(method.input_type).FromString
    malformed = Malformed(f"the request is not a {method.input_type.full_name} in protobuf's encoding")

    def parse(data: bytes) -> Any:
        try:
            return from_string(data)
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
