"""Every service on the ports of the calls, gRPC's and HTTP's, answered by this process."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

import grpc
from grpc_reflection.v1alpha import reflection

from fovea import tracing
from fovea.oip import open_inference_pb2
from fovea.v1 import classify_pb2
from server.access.access import Access
from server.calls import service as classifier
from server.calls.answering import AccessLog, Calls, add_service
from server.calls.draining import drain_calls
from server.calls.request_limits import classifier_limits
from server.config import ServeSettings
from server.fronts.http_door import HttpDoor
from server.models.model import Models, Versions
from server.net.health import CLASSIFIER, INFERENCE, Health
from server.net.ports import bind_grpc, call_options
from server.net.tls import Certificates
from server.oip import infer_request
from server.oip.inference import Inference
from server.oip.repository import Repository
from server.oip.request_limits import inference_limits
from server.oip.service import InferenceService
from server.queue.priorities import Admission, InFlight
from server.telemetry.call_metrics import CallMetrics

if TYPE_CHECKING:
    from server.calls.call_traces import CallTraces
    from server.http.server import HttpServer


class DoorPorts(NamedTuple):
    """Where calls are answered."""

    port: int
    http_port: int | None
    """None where HTTP is not spoken."""


class Door(Protocol):
    """Who answers the calls, as the server's life goes on."""

    @property
    def in_flight(self) -> InFlight:
        """Images admitted and not yet answered."""

    @property
    def is_open(self) -> bool:
        """Somebody answers calls. When that changes, the models are told that they may be ready."""

    async def open(self) -> DoorPorts:
        """Takes the ports. Raises Unavailable, DataInvalid."""

    async def has_opened(self) -> None:
        """Returns when calls are answered. Raises what `open` does."""

    def follow_health(self) -> None:
        """Health has changed."""

    async def has_heard(self) -> None:
        """Returns when whoever answers has the current model, and says what health does."""

    async def drain(self, grace_s: float) -> bool:
        """Finishes what is in flight, and refuses what comes. False when calls had to be cut."""

    async def close(self) -> None:
        """Calls that are left are cut."""


class CallServer:
    """Answers the calls in the event loop that it is made in."""

    def __init__(
        self,
        settings: ServeSettings,
        certificates: Certificates | None,
        access: Access | None,
        models: Models,
        versions: Versions,
        admission: Admission,
        health: Health,
        metrics: CallMetrics,
        *,
        shares_port: bool = False,
    ) -> None:
        self._settings = settings
        self._certificates = certificates
        self._admission = admission
        self._shares_port = shares_port
        self._server = grpc.aio.server(options=call_options(settings, is_shared=shares_port))
        traces = _traces()
        calls = Calls(metrics, AccessLog(settings.access_log_sample), access=access, traces=traces)
        service = classifier.ClassifierService(models, admission, calls)
        descriptor = classify_pb2.DESCRIPTOR.services_by_name["Classifier"]
        limits = classifier_limits(settings.max_images_per_call)
        add_service(self._server, descriptor, service, limits, classifier.PARSERS)

        def inference_of(calls: Calls) -> InferenceService:
            inference = Inference(models, admission, settings.max_images_per_call)
            repository = Repository(models, versions, admission, health)
            return InferenceService(models, inference, repository, calls, settings, health)

        descriptor = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        add_service(self._server, descriptor, inference_of(calls), inference_limits(), infer_request.PARSERS)
        names = (CLASSIFIER, INFERENCE, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        health.join(self._server)

        def make_http_server() -> "HttpServer":
            from server.http.routes import http_server

            return http_server(settings, access, models, admission, metrics, inference_of, health, traces)

        self._http = HttpDoor(settings, make_http_server, shares_port=shares_port) if settings.http else None

    @property
    def in_flight(self) -> InFlight:
        return InFlight(self._admission.images, self._admission.bytes)

    @property
    def is_open(self) -> bool:
        return True

    async def open(self, ports: DoorPorts | None = None) -> DoorPorts:
        """As Door's; on `ports` where they are not the settings' own."""
        settings = self._settings
        wanted = ports or DoorPorts(settings.port, settings.http_port)
        credentials = self._certificates.credentials() if self._certificates else None
        port = bind_grpc(
            self._server, "--port", settings.host, wanted.port, credentials, is_shared=self._shares_port
        )
        http_port = None if self._http is None else self._http.listen(wanted.http_port or 0)
        await self._server.start()
        return DoorPorts(port, http_port)

    async def has_opened(self) -> None:
        """HTTP comes a little later."""
        if self._http is not None:
            await self._http.has_opened()

    def follow_health(self) -> None:
        """It is this process's own, as the model is."""

    async def has_heard(self) -> None:
        """At once."""

    async def drain(self, grace_s: float) -> bool:
        drained = await drain_calls(self._server, self._admission, grace_s)
        if self._http is not None:
            await self._http.close()
        return drained

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
        await self._server.stop(grace=None)


def _traces() -> "CallTraces | None":
    """Spans of the calls, where this process makes any."""
    tracer = tracing.tracer()
    if tracer is None:
        return None
    from server.calls.call_traces import CallTraces  # OpenTelemetry's import takes a moment, and memory

    return CallTraces(tracer)
