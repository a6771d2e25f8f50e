"""What went wrong, as RFC 9457 has it: the statuses of `server.statuses`, by their HTTP names."""

import json
import math
from http import HTTPStatus
from typing import Any, Final, Self

import grpc
from aiohttp import web
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from server.http.torchserve_errors import document_of_torchserve, speaks_torchserve

INFERENCE: Final = "/v2"
"""Below it the Open Inference Protocol is spoken."""

CLIENT_CLOSED_REQUEST: Final = 499
"""nginx's number for a caller that did not wait; nobody gets it."""

HTTP: Final[dict[str, int]] = {
    "INVALID_ARGUMENT": HTTPStatus.BAD_REQUEST,
    "UNAUTHENTICATED": HTTPStatus.UNAUTHORIZED,
    "PERMISSION_DENIED": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "FAILED_PRECONDITION": HTTPStatus.CONFLICT,
    "RESOURCE_EXHAUSTED": HTTPStatus.TOO_MANY_REQUESTS,
    "CANCELLED": CLIENT_CLOSED_REQUEST,
    "UNIMPLEMENTED": HTTPStatus.NOT_IMPLEMENTED,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "DEADLINE_EXCEEDED": HTTPStatus.GATEWAY_TIMEOUT,
    "INTERNAL": HTTPStatus.INTERNAL_SERVER_ERROR,
}
_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}


class Problem(Exception):
    """Ends a request. `status` is what a gRPC caller would get; `http` where its HTTP number says more."""

    def __init__(self, status: Status, http: int | None = None) -> None:
        super().__init__(status.message)
        self.status = status
        self.http = http or http_of(status)

    @classmethod
    def of(cls, code: grpc.StatusCode, message: str, http: int | None = None) -> Self:
        return cls(Status(code=code.value[0], message=message), http)

    def response(self, path: str = "") -> web.Response:
        """To a request for `path`."""
        headers = {}
        if retry_after_s := retry_after_s_of(self.status):
            headers["Retry-After"] = str(math.ceil(retry_after_s))
        if self.http == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        document, kind, http = document_of(self.status, self.http), "application/problem+json", self.http
        if speaks_torchserve(path):
            code = _NAMES[self.status.code]
            # Whoever makes a problem of an error raises it while the error is handled.
            http, document = document_of_torchserve(code, http, self.status.message, self.__context__)
            kind = "application/json"
        elif path.startswith(INFERENCE):  # its clients read `error`, KServe's of no other type than this
            document["error"], kind = self.status.message, "application/json"
        body = json.dumps(document).encode()
        return web.Response(body=body, status=http, headers=headers, content_type=kind)


def http_of(status: Status) -> int:
    return HTTP[_NAMES[status.code]]


def title_of(http: int) -> str:
    return "Client Closed Request" if http == CLIENT_CLOSED_REQUEST else HTTPStatus(http).phrase


def document_of(status: Status, http: int | None = None) -> dict[str, Any]:
    """The members of RFC 9457, the code that a gRPC caller gets, and what there is of its details."""
    http = http or http_of(status)
    document: dict[str, Any] = {
        "title": title_of(http),
        "status": http,
        "detail": status.message,
        "code": _NAMES[status.code],
    }
    if fields := _fields(status):
        document["errors"] = fields
    if retry_after_s := retry_after_s_of(status):
        document["retry_after_s"] = retry_after_s
    return document


def retry_after_s_of(status: Status) -> float:
    """When to come back; 0 where it is not said."""
    for detail in status.details:
        retry = RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds() / 1000)
    return 0.0


def _fields(status: Status) -> list[dict[str, str]]:
    """Which of the request's are wrong, and why."""
    found = []
    for detail in status.details:
        bad = BadRequest()
        if detail.Unpack(bad):
            found += [{"field": each.field, "detail": each.description} for each in bad.field_violations]
    return found
