"""How a service is added to the server of the calls, so that it may refuse bytes that are no request."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from server.errors import InvalidField


@dataclass(frozen=True)
class Malformed:
    """What a method gets in place of a request that cannot be parsed."""

    expected: str
    """The full name of the message that it should have been."""


def add_service(calls: grpc.aio.Server, service: ServiceDescriptor, servicer: object) -> None:
    """As the generated `add_...Servicer_to_server`, but each method must `refuse_malformed` requests.

    gRPC would end such a call by itself: as UNKNOWN, with a traceback in the log and in no metric.
    """
    handlers = {method.name: _handler(method, getattr(servicer, method.name)) for method in service.methods}
    calls.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    calls.add_registered_method_handlers(service.full_name, handlers)


def refuse_malformed(request: object) -> None:
    """Raises InvalidField where there is no request."""
    if isinstance(request, Malformed):
        raise InvalidField("request", f"the request is not a {request.expected} in protobuf's encoding")


def _handler(method: MethodDescriptor, answer: Callable[..., Any]) -> "grpc.RpcMethodHandler[Any, Any]":
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return kinds[method.client_streaming, method.server_streaming](
        answer,
        request_deserializer=_parser(method),
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )


def _parser(method: MethodDescriptor) -> Callable[[bytes], Any]:
    from_string = GetMessageClass(method.input_type).FromString
    malformed = Malformed(method.input_type.full_name)

    def parse(data: bytes) -> Any:
        try:
            return from_string(data)
        except DecodeError:
            return malformed

    return parse
