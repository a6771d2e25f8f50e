"""Every service on the ports of the calls, gRPC's and HTTP's, answered by this process."""

from collections.abc import Callable
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
from server.models.model import Models, Versions
from server.net.health import CLASSIFIER, INFERENCE, Health
from server.net.ports import bind_grpc, call_options, listen_http
from server.net.tls import Certificates, certificates_of
from server.oip import infer_request
from server.oip.inference import Inference
from server.oip.repository import Repository
from server.oip.request_limits import inference_limits
from server.oip.service import InferenceService
from server.queue.priorities import Admission, InFlight
from server.telemetry.call_metrics import HTTP, CallMetrics

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
        self._http: HttpServer | None = None
        if settings.http:
            self._http = http_server(
                settings, access, models, admission, metrics, inference_of, health, traces
            )

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
        http_port = await self._open_http(wanted.http_port or 0)
        await self._server.start()
        return DoorPorts(port, http_port)

    async def _open_http(self, port: int) -> int | None:
        if self._http is None:
            return None
        sockets = listen_http(self._settings.host, port, is_shared=self._shares_port)
        certificates = certificates_of(self._settings)  # of its own: see `Certificates.context`
        await self._http.open(sockets, certificates.context() if certificates else None)
        return int(sockets[0].getsockname()[1])

    async def has_opened(self) -> None:
        """At once."""

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


def http_server(
    settings: ServeSettings,
    access: Access | None,
    models: Models,
    admission: Admission,
    metrics: CallMetrics,
    inference_of: Callable[[Calls], InferenceService],
    health: Health,
    traces: "CallTraces | None" = None,
) -> "HttpServer":
    from server.http.classify import ClassifyRoutes  # aiohttp's import takes a moment, and memory
    from server.http.crops import CropRoutes
    from server.http.inference import InferenceRoutes
    from server.http.openapi import OpenApiRoutes
    from server.http.page import PageRoutes
    from server.http.server import HttpServer
    from server.http.torchserve import TorchServeRoutes
    from server.http.uploads import Uploads

    calls = Calls(metrics, AccessLog(settings.access_log_sample), HTTP, access, traces)
    service = classifier.ClassifierService(models, admission, calls)
    inference, uploads = inference_of(calls), Uploads(settings)
    routes = (
        ClassifyRoutes(service, calls, uploads),
        InferenceRoutes(inference, calls, uploads),
        CropRoutes(models, admission, calls, uploads, settings),
        PageRoutes(),
        TorchServeRoutes(service, inference, models, calls, uploads, settings),
        OpenApiRoutes(settings),
    )
    return HttpServer(
        lambda router: [each.add_to(router) for each in routes],
        lambda: health.is_ready,
        settings.max_connection_age_s,
    )


def _traces() -> "CallTraces | None":
    """Spans of the calls, where this process makes any."""
    tracer = tracing.tracer()
    if tracer is None:
        return None
    from server.calls.call_traces import CallTraces  # OpenTelemetry's import takes a moment, and memory

    return CallTraces(tracer)
