"""What went wrong, as a google.rpc.Status. The one table from errors to gRPC status codes."""

import logging
import math
import secrets
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from fovea.errors import ImageInvalid
from fovea.images.preprocess import REASONS as IMAGE_REASONS
from server.errors import (
    BodyStalled,
    BodyTooLarge,
    BodyUnreadable,
    DeadlinePassed,
    Draining,
    EncodingUnknown,
    FieldInvalid,
    FolderUnreachable,
    KeysUnreachable,
    ModelUnknown,
    NoModelReady,
    PermissionDenied,
    QueueFull,
    Refused,
    Unauthenticated,
    Unsupported,
    VersionNotLoaded,
    VersionRefused,
)

logger = logging.getLogger(__name__)

_CODES: Final[dict[type[Exception], grpc.StatusCode]] = {
    ImageInvalid: grpc.StatusCode.INVALID_ARGUMENT,
    FieldInvalid: grpc.StatusCode.INVALID_ARGUMENT,
    BodyUnreadable: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    BodyTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,  # as gRPC itself says of a message
    BodyStalled: grpc.StatusCode.DEADLINE_EXCEEDED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
    VersionNotLoaded: grpc.StatusCode.NOT_FOUND,
    ModelUnknown: grpc.StatusCode.NOT_FOUND,
    NoModelReady: grpc.StatusCode.UNAVAILABLE,
    Draining: grpc.StatusCode.UNAVAILABLE,
    FolderUnreachable: grpc.StatusCode.UNAVAILABLE,
    KeysUnreachable: grpc.StatusCode.UNAVAILABLE,
    VersionRefused: grpc.StatusCode.FAILED_PRECONDITION,
    Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    EncodingUnknown: grpc.StatusCode.UNIMPLEMENTED,  # as gRPC itself says of a message
}

CODES: Final = tuple(
    code.name
    for code in dict.fromkeys(
        (grpc.StatusCode.OK, *_CODES.values(), grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
    )
)
"""How a call can end."""

REASONS: Final = (*IMAGE_REASONS, *(refused.reason for refused in Refused.__subclasses__()), "internal")
"""What `reason_of` can give."""


def status_of(error: Exception, request_id: str) -> Status:
    """An error that is not in the table is a bug: its caller only sees an id to look for in the log."""
    code = _CODES.get(type(error))
    if code is None:
        return _internal(error, request_id or secrets.token_hex(8))
    status = Status(code=code.value[0], message=str(error))
    for detail in _details(error):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def reason_of(error: Exception) -> str:
    """A short word for the metrics."""
    return error.reason if isinstance(error, (Refused, ImageInvalid)) else "internal"


def _details(error: Exception) -> list[Message]:
    match error:
        case ImageInvalid():
            return [_bad_request("image", str(error))]
        case FieldInvalid():
            return [_bad_request(error.field, str(error))]
        case QueueFull():
            delay = Duration()
            delay.FromMilliseconds(math.ceil(error.retry_after_s * 1000))
            return [RetryInfo(retry_delay=delay)]
    return []


def _bad_request(field: str, description: str) -> BadRequest:
    return BadRequest(field_violations=[BadRequest.FieldViolation(field=field, description=description)])


def _internal(error: Exception, request_id: str) -> Status:
    logger.error("internal error", exc_info=error, extra={"request_id": request_id})
    return Status(
        code=grpc.StatusCode.INTERNAL.value[0],
        message=f"internal error; the server's log has it under request id {request_id}",
    )
