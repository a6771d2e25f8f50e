# ruff: noqa: N802 - the methods are named as in open_inference.proto
"""The service inference.GRPCInferenceService: another way to the model, through the same queue and limits."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, suppress

from fovea.oip import open_inference_pb2 as pb
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceServicer
from server.calls.access_log import Call
from server.calls.answering import Calls, Context, deadline_of
from server.config import ServeSettings
from server.errors import ModelUnknown, NoModelReady, VersionNotLoaded
from server.models.model import Model, Models
from server.net.health import Health
from server.oip import description
from server.oip.aliases import ModelAlias, aliases_of, find, version_of
from server.oip.infer_request import InferRequest
from server.oip.inference import Inference
from server.oip.repository import Repository

Named = pb.ModelReadyRequest | pb.ModelMetadataRequest | pb.ModelConfigRequest | pb.ModelStatisticsRequest


class InferenceService(GRPCInferenceServiceServicer):
    """Answers calls with the loaded models; lives in the event loop that they live in."""

    def __init__(
        self,
        models: Models,
        inference: Inference,
        repository: Repository,
        calls: Calls,
        settings: ServeSettings,
        health: Health,
    ) -> None:
        self._models = models
        self._inference = inference
        self._repository = repository
        self._calls = calls
        self._settings = settings
        self._health = health

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        async with self._call("ServerLive", request, context):
            return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        async with self._call("ServerReady", request, context):
            return pb.ServerReadyResponse(ready=self._health.is_ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        async with self._call("ModelReady", request, context):
            with suppress(NoModelReady, ModelUnknown, VersionNotLoaded):
                model, _ = self._find(request)
                return pb.ModelReadyResponse(ready=model.contract.name in self._health.able)
            return pb.ModelReadyResponse(ready=False)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        async with self._call("ServerMetadata", request, context):
            return description.server_metadata()

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        async with self._call("ModelMetadata", request, context):
            model, alias = self._find(request)
            return description.model_metadata(model, alias, self._models.versions(model.contract.name))

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:
        async with self._call("ModelConfig", request, context):
            limits = self._settings.max_images_per_call, self._settings.max_queue_delay_ms
            return description.model_config(*self._find(request), *limits)

    async def ModelInfer(
        self, request: pb.ModelInferRequest | InferRequest, context: Context
    ) -> pb.ModelInferResponse:
        async with self._call("ModelInfer", request, context) as call:
            received = request if isinstance(request, InferRequest) else InferRequest.of(request)
            return await self._inference.infer(received, context, deadline_of(context), call)

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        async with self._call("ModelStatistics", request, context):
            described = [self._find(request)] if request.name else self._every_alias(request)
            figures = {
                id(model): await model.figures() for model in {id(m): m for m, _ in described}.values()
            }
            return pb.ModelStatisticsResponse(
                model_stats=[
                    description.model_statistics(figures[id(model)], model.contract.version, alias)
                    for model, alias in described
                ]
            )

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        async with self._call("RepositoryIndex", request, context):
            return await self._repository.index(request)

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        async with self._call("RepositoryModelLoad", request, context):
            await self._repository.load(request)
            return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        async with self._call("RepositoryModelUnload", request, context):
            raise self._repository.refuse_unload(request)

    def _find(self, request: Named) -> tuple[Model, ModelAlias]:
        """Raises NoModelReady, ModelUnknown, FieldInvalid, VersionNotLoaded."""
        alias, name = find(self._models, request.name)
        return self._models.choose(version_of("version", request.version), name), alias

    def _every_alias(self, request: pb.ModelStatisticsRequest) -> list[tuple[Model, ModelAlias]]:
        """Raises NoModelReady, FieldInvalid, VersionNotLoaded."""
        version = version_of("version", request.version)
        if len(names := self._models.names) > 1:
            models: Iterable[Model] = self._models.live
            models = [model for model in models if version in (0, model.contract.version)]
        else:
            models = [self._models.choose(version, *names)]
        return [(model, alias) for model in models for alias in aliases_of(model.contract)]

    def _call(self, method: str, request: object, context: Context) -> AbstractAsyncContextManager[Call]:
        request_id = getattr(request, "id", "")
        return self._calls.answering(method, request, request_id, context, deadline_of(context))
