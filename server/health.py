# ruff: noqa: N802 - the methods are named as in health.proto
"""Health in two places: beside the calls, and on a port of its own that answers when those are saturated."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fovea.v1 import classify_pb2
from server.ports import bind_grpc

LIVE: Final = "live"
SLOW_WATCHER_S: Final = 1.0
CLASSIFIER: Final = classify_pb2.DESCRIPTOR.services_by_name["Classifier"].full_name

_Status = health_pb2.HealthCheckResponse


class Health:
    """What grpc.health.v1 says: `live` is SERVING from the start, "" and the Classifier once a model is."""

    def __init__(self) -> None:
        self._beside_calls = health.aio.HealthServicer()
        self._alone = _ForProbes()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="health")
        self._server = grpc.server(self._threads, options=[("grpc.so_reuseport", 0)])

    async def start(self, calls: grpc.aio.Server, host: str, port: int) -> int:
        """Joins the server of the calls and opens the port of its own, whose number it returns.

        Raises Unavailable when the port cannot be bound.
        """
        await self._set(LIVE, serving=True)
        await self.set_ready(False)
        health_pb2_grpc.add_HealthServicer_to_server(self._beside_calls, calls)
        health_pb2_grpc.add_HealthServicer_to_server(self._alone, self._server)
        bound = bind_grpc(self._server, "--health-port", host, port)
        self._server.start()
        return bound

    async def set_ready(self, ready: bool) -> None:
        for service in ("", CLASSIFIER):
            await self._set(service, serving=ready)

    def stop(self) -> None:
        self._server.stop(grace=None)
        self._threads.shutdown(wait=False)

    async def _set(self, service: str, *, serving: bool) -> None:
        status = _Status.SERVING if serving else _Status.NOT_SERVING
        self._alone.responses[service] = _Status(status=status)
        # It waits for each watcher to take the news, and one that takes none must not hold up a drain.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._beside_calls.set(service, status), SLOW_WATCHER_S)


class _ForProbes(health_pb2_grpc.HealthServicer):
    """Health without Watch.

    gRPC's own sends to each watcher before `set` returns, with its lock held: one that hung up at that moment
    stopped the event loop for good.
    """

    def __init__(self) -> None:
        self.responses: dict[str, _Status] = {}

    def Check(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext) -> _Status:
        if request.service not in self.responses:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r}")
        return self.responses[request.service]

    def Watch(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "this port is for probes; watch the port of the calls")
