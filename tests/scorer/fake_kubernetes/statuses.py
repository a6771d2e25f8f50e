"""What the API server answers when it does not do what was asked."""

from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "AlreadyExists",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass
class Failure:
    """What a request is answered with in place of the truth.

    `status` 0 drops the connection, that of a watch after it has begun; 200 ends a watch, properly, at once.
    """

    status: int
    message: str = "as the test has it"
    headers: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    """The one that is usual for the status, if it is None."""


def status(code: int, message: str, reason: str | None = None) -> Body:
    fixed = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure"}
    return {**fixed, "code": code, "reason": reason or REASONS[code], "message": message}
