"""TorchServe's paths, for its callers: `/ping`, `/predictions/...` and what of `/models` only looks.

Predictions are those of its handler for images, a label and a probability for the best five.
"""

from typing import Any, Final

from aiohttp import web

from fovea.oip import open_inference_pb2
from fovea.v1 import classify_pb2 as pb
from server.calls.answering import Calls
from server.calls.service import ClassifierService, ImageRequest
from server.config import ServeSettings
from server.errors import ModelUnknown, NoModelReady, Refused, VersionNotLoaded
from server.http.call import HttpCall
from server.http.classify import json_answer
from server.http.json_bodies import a_text
from server.http.query import Query
from server.http.torchserve_errors import MODELS, PING, PREDICTIONS
from server.http.uploads import Uploads
from server.models.model import Models
from server.net.health import Health
from server.oip.service import InferenceService

TOP_K: Final = 5
"""The handler's, of as many labels as there are."""
SHOWN: Final = 8
"""Names that an error lists, at most."""
WORKER: Final = {True: "READY", False: "UNLOADING"}
"""TorchServe's names for a worker that runs, and for one that does not."""
ALL: Final = "all"
"""In the place of a version: each that is loaded."""


class TorchServeRoutes:
    """They are calls of our services, and counted as those are."""

    def __init__(
        self,
        service: ClassifierService,
        inference: InferenceService,
        models: Models,
        calls: Calls,
        uploads: Uploads,
        settings: ServeSettings,
        health: Health,
    ) -> None:
        self._service = service
        self._inference = inference
        self._models = models
        self._calls = calls
        self._uploads = uploads
        self._settings = settings
        self._health = health

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get(PING, self.ping)
        router.add_get(MODELS, self.list_models)
        for named in ("/{name}", "/{name}/{version}"):
            router.add_get(MODELS + named, self.describe)
            router.add_post(PREDICTIONS + named, self.predict)
            router.add_put(PREDICTIONS + named, self.predict)  # as `curl -T` sends a file
        router.add_route("*", f"{MODELS}/{{name}}/{{version}}/set-default", self.refuse_change)

    async def ping(self, request: web.Request) -> web.Response:
        """200 where a prediction would be answered, else 500."""
        call = HttpCall(request)
        asked = open_inference_pb2.ServerReadyRequest()
        is_ready = (await self._inference.ServerReady(asked, call.context)).ready
        status = {"status": "Healthy" if is_ready else "Unhealthy"}
        return json_answer(status, call, 200 if is_ready else 500)

    async def predict(self, request: web.Request) -> web.Response:
        """{label: probability}, the best first. The image is the body, or the one part of a form."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, "Classify")
            name, version = self._chosen(request, "")
            image = await self._uploads.image(request, call)
            top_k = min(TOP_K, len(self._models.choose(version, name).contract.labels))
        except Refused as error:
            await call.refuse(self._calls, "Classify", error)
        query = Query(top_k, 0.0, version, model=name)
        asked = ImageRequest(*query, call.request_id, memoryview(image))
        answer = await call.ended_in_time(self._service.Classify(asked, call.context))
        return json_answer({each.label: each.probability for each in answer.predictions}, call)

    async def list_models(self, request: web.Request) -> web.Response:
        """Those that are served; TorchServe's pages of a long list are one here."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, "GetModel")
        except Refused as error:
            await call.refuse(self._calls, "GetModel", error)
        async with self._calls.answering("GetModel", None, call.request_id, call.context, call.deadline, ""):
            current = self._models.live
            if not current:
                raise NoModelReady("no model is ready yet")
            listed = [{"modelName": each.identity.name, "modelUrl": _url(each.identity)} for each in current]
        return json_answer({"models": listed}, call)

    async def describe(self, request: web.Request) -> web.Response:
        """A list of one: as much of TorchServe's description as there is here."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, "GetModel")
            name, version = self._chosen(request, "", ALL)
        except Refused as error:
            await call.refuse(self._calls, "GetModel", error)
        asked = pb.GetModelRequest(model_version=version, model=name)
        model = await self._service.GetModel(asked, call.context)
        return json_answer([self._described(model, name in self._health.able)], call)

    async def refuse_change(self, request: web.Request) -> web.Response:
        """405, as where a path is known for what only looks: nothing else is below this one."""
        raise web.HTTPMethodNotAllowed(request.method, [])

    def _chosen(self, request: web.Request, *current: str) -> tuple[str, int]:
        """Name and version, which is 0 where the path has one of `current`.

        Raises ModelUnknown, VersionNotLoaded, NoModelReady.
        """
        name = a_text(request.match_info["name"], "name")
        if name not in self._models.names:
            served = ", ".join(sorted(self._models.names)[:SHOWN])
            raise ModelUnknown(f"Model not found: {name[:64]} (served: {served})")
        self._models.choose(0, name)
        version = a_text(request.match_info.get("version", ""), "version")
        if version in current:
            return name, 0
        number = version.removesuffix(".0")  # TorchServe's versions are 1.0, 2.0, ...
        if not (number.isascii() and number.isdecimal() and len(number) < 20 and int(number)):
            raise VersionNotLoaded(f"Model version: {version[:64]} does not exist for model: {name}")
        return name, int(number)

    def _described(self, described: pb.GetModelResponse, is_ready: bool) -> dict[str, Any]:
        model, settings = described.model, self._settings
        is_gpu = described.provider != "CPUExecutionProvider"
        return {
            "modelName": model.name,
            "modelVersion": str(model.version),
            "modelUrl": _url(model),
            "runtime": "onnxruntime",
            "minWorkers": 1,
            "maxWorkers": 1,
            **({"batchSize": settings.max_batch_size} if settings.max_batch_size else {}),
            "maxBatchDelay": round(settings.max_queue_delay_ms),
            "loadedAtStartup": True,
            "workers": [{"id": "fovea", "status": WORKER[is_ready], "gpu": is_gpu}],
        }


def _url(model: pb.ModelVersion) -> str:
    """Where it lies is not for callers."""
    return f"{model.name}/{model.version}"
