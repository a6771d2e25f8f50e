"""What every call goes through, whichever service it is of: counted, logged, ended with its status."""

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import grpc
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from server.calls.handlers import refuse_malformed
from server.errors import FieldInvalid
from server.statuses import reason_of, status_of
from server.telemetry.access_log import AccessLog, Call
from server.telemetry.metrics import Metrics

MAX_REQUEST_ID_BYTES: Final = 128
CLOCKS_DIFFER_S: Final = 0.05
"""A caller gives up at its deadline by its own clock, and here that may seem a little early."""

Context = grpc.aio.ServicerContext[Any, Any]


class Calls:
    """Shows the calls of the services, and how each ended, to the metrics and the log."""

    def __init__(self, metrics: Metrics, access_log: AccessLog) -> None:
        self._refused = metrics.refused
        self._requests = cache(metrics.requests.labels)
        self._seconds = cache(metrics.request_seconds.labels)
        self._access_log = access_log

    @asynccontextmanager
    async def answering(
        self, method: str, request: object, request_id: str, context: Context, deadline: float | None
    ) -> AsyncIterator[Call]:
        """Ends a call that fails with its status; counts and logs each call, however it ends.

        `request` is None for a stream of them.
        """
        call = Call(method, request_id[:MAX_REQUEST_ID_BYTES], context.peer)
        code = None  # what remains when the caller no longer waits
        failure = None
        try:
            refuse_malformed(request)
            yield call
            code = grpc.StatusCode.OK
        except Exception as error:
            failure = rpc_status.to_status(self.status(error, call.request_id))
            code = failure.code
        finally:
            ended_as = (code or _code_of_abandoned(deadline)).name
            seconds = time.monotonic() - call.started
            self._requests(method, ended_as).inc()
            self._seconds(method).observe(seconds)
            self._access_log.show(call, ended_as, seconds)
        if failure is not None:  # after it is counted, so that a caller who knows of it finds it counted
            await context.abort_with_status(failure)

    def status(self, error: Exception, request_id: str) -> Status:
        """Counts what was refused, and says it."""
        self._refused.labels(reason_of(error)).inc()
        return status_of(error, request_id)


def check_request_id(field: str, request_id: str) -> None:
    """Raises FieldInvalid for one that is too long; `field` is what the service calls it."""
    if len(request_id.encode()) > MAX_REQUEST_ID_BYTES:
        raise FieldInvalid(field, f"{field} must have at most {MAX_REQUEST_ID_BYTES} bytes")


def deadline_of(context: Context) -> float | None:
    """On `time.monotonic`'s clock; None when the caller set none."""
    remaining = context.time_remaining()
    return None if remaining is None or math.isinf(remaining) else time.monotonic() + remaining


def _code_of_abandoned(deadline: float | None) -> grpc.StatusCode:
    """Whether the caller went away, or only its deadline passed."""
    in_time = deadline is None or deadline - time.monotonic() > CLOCKS_DIFFER_S
    return grpc.StatusCode.CANCELLED if in_time else grpc.StatusCode.DEADLINE_EXCEEDED
