# ruff: noqa: N802 - the methods are named as in health.proto
"""Health in two places: beside the calls, and on a port of its own that answers when those are saturated."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fovea.oip import open_inference_pb2
from fovea.v1 import classify_pb2
from server.net.ports import bind_grpc

LIVE: Final = "live"
CLASSIFIER: Final = classify_pb2.DESCRIPTOR.services_by_name["Classifier"].full_name
OF_MODEL: Final = "models/"
"""Before a model's name: the service that says whether it answers."""
INFERENCE: Final = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

_Request = health_pb2.HealthCheckRequest
_Status = health_pb2.HealthCheckResponse


class Health:
    """What grpc.health.v1 says: `live` is SERVING from the start, and "" once every model is ready.

    `models/NAME` is said of each model by itself. The services are SERVING while one is: channels that look
    at these would keep callers from all the others.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.able: frozenset[str] = frozenset()
        """The models whose calls are answered."""
        self._states = _ServingStates()
        self._probes: tuple[grpc.Server, ThreadPoolExecutor] | None = None
        self._models: set[str] = set()
        """The services of all that there were."""
        self._states.set(LIVE, serving=True)
        self.set_ready(False)

    def join(self, calls: grpc.aio.Server) -> None:
        """Answers beside the calls."""
        health_pb2_grpc.add_HealthServicer_to_server(_BesideCalls(self._states), calls)

    def start(self, host: str, port: int) -> int:
        """Opens the port of its own, whose number it returns. Raises Unavailable where it cannot be bound."""
        threads = ThreadPoolExecutor(2, thread_name_prefix="health")
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        self._probes = server, threads
        health_pb2_grpc.add_HealthServicer_to_server(_ForProbes(self._states), server)
        bound = bind_grpc(server, "--health-port", host, port)
        server.start()
        return bound

    def set_ready(self, ready: bool, models: Iterable[str] = ()) -> None:
        """`models` are those whose calls are answered. Is called in the event loop of the calls."""
        self.is_ready, self.able = ready, frozenset(models)
        self._states.set("", serving=ready)
        for service in (CLASSIFIER, INFERENCE):
            self._states.set(service, serving=bool(self.able))
        able = {f"{OF_MODEL}{name}" for name in self.able}
        for service in able | self._models:
            self._states.set(service, serving=service in able)
        self._models |= able

    def stop(self) -> None:
        if self._probes is not None:
            server, threads = self._probes
            server.stop(grace=None)
            threads.shutdown(wait=False)


class _ServingStates:
    """The state of each service: is written in the event loop, and read by the threads of the probes too."""

    def __init__(self) -> None:
        self.by_service: dict[str, _Status] = {}
        self.changed = asyncio.Event()
        """Is set at the next change, and then replaced."""

    def set(self, service: str, *, serving: bool) -> None:
        self.by_service[service] = _Status(status=_Status.SERVING if serving else _Status.NOT_SERVING)
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class _BesideCalls(health_pb2_grpc.HealthServicer):
    """Each watcher is told by itself: gRPC's own tells them in turn, where each can hold up the others."""

    def __init__(self, states: _ServingStates) -> None:
        self._states = states

    async def Check(self, request: _Request, context: Any) -> _Status:
        if request.service not in self._states.by_service:
            await context.abort(*_unknown(request))
        return self._states.by_service[request.service]

    async def Watch(self, request: _Request, context: Any) -> AsyncIterator[_Status]:
        unknown, last = _Status(status=_Status.SERVICE_UNKNOWN), None
        while True:
            changed, state = self._states.changed, self._states.by_service.get(request.service, unknown)
            if state != last:
                yield state
                last = state
            await changed.wait()


class _ForProbes(health_pb2_grpc.HealthServicer):
    """Health without Watch: gRPC's own sends to each watcher before `set` returns, which need not be soon."""

    def __init__(self, states: _ServingStates) -> None:
        self._states = states

    def Check(self, request: _Request, context: grpc.ServicerContext) -> _Status:
        if request.service not in self._states.by_service:
            context.abort(*_unknown(request))
        return self._states.by_service[request.service]

    def Watch(self, request: _Request, context: grpc.ServicerContext) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "this port is for probes; watch the port of the calls")


def _unknown(request: _Request) -> tuple[grpc.StatusCode, str]:
    return grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r}"
