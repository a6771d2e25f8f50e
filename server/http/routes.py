"""All that is answered over HTTP. Imports aiohttp, which takes a moment, and memory: see `HttpDoor`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from server.access.access import Access
from server.calls.answering import AccessLog, Calls
from server.calls.service import ClassifierService
from server.config import ServeSettings
from server.http.classify import ClassifyRoutes
from server.http.crops import CropRoutes
from server.http.inference import InferenceRoutes
from server.http.openapi import OpenApiRoutes
from server.http.page import PageRoutes
from server.http.server import HttpServer
from server.http.torchserve import TorchServeRoutes
from server.http.uploads import Uploads
from server.models.model import Models
from server.net.health import Health
from server.oip.service import InferenceService
from server.queue.priorities import Admission
from server.telemetry.call_metrics import HTTP, CallMetrics

if TYPE_CHECKING:
    from server.calls.call_traces import CallTraces


def http_server(
    settings: ServeSettings,
    access: Access | None,
    models: Models,
    admission: Admission,
    metrics: CallMetrics,
    inference_of: Callable[[Calls], InferenceService],
    health: Health,
    traces: "CallTraces | None" = None,
) -> HttpServer:
    calls = Calls(metrics, AccessLog(settings.access_log_sample), HTTP, access, traces)
    service = ClassifierService(models, admission, calls)
    inference, uploads = inference_of(calls), Uploads(settings)
    routes = (
        ClassifyRoutes(service, models, calls, uploads),
        InferenceRoutes(inference, calls, uploads),
        CropRoutes(models, admission, calls, uploads, settings),
        PageRoutes(),
        TorchServeRoutes(service, inference, models, calls, uploads, settings, health),
        OpenApiRoutes(settings),
    )
    return HttpServer(
        lambda router: [each.add_to(router) for each in routes],
        lambda: health.is_ready,
        settings.max_connection_age_s,
    )
