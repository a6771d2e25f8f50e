"""Refusals as TorchServe words them: its callers read `code`, `type` and `message`, and wait at a 503."""

from http import HTTPStatus
from typing import Any, Final

from server.errors import ModelUnknown

PING: Final = "/ping"
PREDICTIONS: Final = "/predictions"
MODELS: Final = "/models"

KINDS: Final[dict[str, tuple[int, str]]] = {
    "INVALID_ARGUMENT": (HTTPStatus.BAD_REQUEST, "BadRequestException"),
    "UNAUTHENTICATED": (HTTPStatus.UNAUTHORIZED, "InvalidKeyException"),
    "PERMISSION_DENIED": (HTTPStatus.FORBIDDEN, "InvalidKeyException"),
    "RESOURCE_EXHAUSTED": (HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailableException"),
    "UNAVAILABLE": (HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailableException"),
    "DEADLINE_EXCEEDED": (HTTPStatus.REQUEST_TIMEOUT, "RequestTimeoutException"),
    "UNIMPLEMENTED": (HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowedException"),
}
"""By gRPC's names of the codes."""
INTERNAL: Final = (HTTPStatus.INTERNAL_SERVER_ERROR, "InternalServerException")


def speaks_torchserve(path: str) -> bool:
    """Of one of its paths."""
    return path in (PING, MODELS) or path.startswith((f"{PREDICTIONS}/", f"{MODELS}/"))


def document_of_torchserve(
    code: str, http: int, message: str, cause: BaseException | None
) -> tuple[int, dict[str, Any]]:
    """The status and the body. `cause` is the error that the call ended with, where it came as far."""
    status, kind = KINDS.get(code, INTERNAL)
    if code == "NOT_FOUND":
        status, kind = HTTPStatus.NOT_FOUND, _missing(cause)
    elif http == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        status, kind = http, "BadRequestException"
    return int(status), {"code": int(status), "type": kind, "message": message}


def _missing(cause: BaseException | None) -> str:
    if cause is None:
        return "ResourceNotFoundException"
    return "ModelNotFoundException" if isinstance(cause, ModelUnknown) else "ModelVersionNotFoundException"
