"""`/v2/...`: inference.GRPCInferenceService over HTTP, as the Open Inference Protocol and Triton have it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiohttp import web
from google.protobuf.message import Message

from fovea.oip import open_inference_pb2 as pb
from server.calls.answering import Calls, Context
from server.errors import FieldInvalid, Refused
from server.http.answers import plain
from server.http.call import REQUEST_ID, HttpCall
from server.http.classify import json_answer
from server.http.infer_answers import infer_answer
from server.http.json_bodies import MAX_JSON_BYTES, a_bool, a_text, an_object, check_json_size, object_of
from server.http.problems import INFERENCE
from server.http.tensors import HttpInfer, infer_of, put_parameters
from server.http.uploads import Uploads
from server.oip.request_limits import MAX_REST_BYTES
from server.oip.service import InferenceService

A = TypeVar("A")
M = TypeVar("M", bound=Message)

JSON_BYTES: Final = "Inference-Header-Content-Length"
"""How many of a body's bytes are JSON, where binary data follows."""

MODELS: Final = f"{INFERENCE}/models"
REPOSITORY: Final = f"{INFERENCE}/repository"


class InferenceRoutes:
    """What a caller of HTTP asks of the service, and its answers."""

    def __init__(self, service: InferenceService, calls: Calls, uploads: Uploads) -> None:
        self._service = service
        self._calls = calls
        self._uploads = uploads

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get(INFERENCE, self.get_server)
        router.add_get(f"{INFERENCE}/health/live", self.get_live)
        router.add_get(f"{INFERENCE}/health/ready", self.get_ready)
        router.add_get(f"{MODELS}/stats", self.get_statistics)
        for model in (f"{MODELS}/{{name}}", f"{MODELS}/{{name}}/versions/{{version}}"):
            router.add_get(model, self.get_model)
            router.add_get(f"{model}/ready", self.get_model_ready)
            router.add_get(f"{model}/config", self.get_config)
            router.add_get(f"{model}/stats", self.get_statistics)
            router.add_post(f"{model}/infer", self.infer)
        router.add_post(f"{REPOSITORY}/index", self.index)
        router.add_post(f"{REPOSITORY}/models/{{name}}/load", self.load)
        router.add_post(f"{REPOSITORY}/models/{{name}}/unload", self.unload)

    async def get_server(self, request: web.Request) -> web.Response:
        """Name, version and extensions."""
        call = HttpCall(request)
        answer = await self._ask(call, self._service.ServerMetadata, pb.ServerMetadataRequest)
        return json_answer(plain(answer), call)

    async def get_live(self, request: web.Request) -> web.Response:
        """The process answers."""
        call = HttpCall(request)
        answer = await self._ask(call, self._service.ServerLive, pb.ServerLiveRequest)
        return json_answer({"live": answer.live}, call)

    async def get_ready(self, request: web.Request) -> web.Response:
        """200, or 503 where no inference would be answered."""
        call = HttpCall(request)
        answer = await self._ask(call, self._service.ServerReady, pb.ServerReadyRequest)
        return json_answer({"ready": answer.ready}, call, 200 if answer.ready else 503)

    async def get_model_ready(self, request: web.Request) -> web.Response:
        """The same for one model, also where there is no such model."""
        call = HttpCall(request)
        named = _named(request, pb.ModelReadyRequest)
        answer = await self._ask(call, self._service.ModelReady, named)
        said = {"name": request.match_info["name"], "ready": answer.ready}
        return json_answer(said, call, 200 if answer.ready else 503)

    async def get_model(self, request: web.Request) -> web.Response:
        """Versions, inputs and outputs."""
        call = HttpCall(request)
        named = _named(request, pb.ModelMetadataRequest)
        return json_answer(plain(await self._ask(call, self._service.ModelMetadata, named)), call)

    async def get_config(self, request: web.Request) -> web.Response:
        """How it takes batches, as Triton's config.pbtxt would say it."""
        call = HttpCall(request)
        named = _named(request, pb.ModelConfigRequest)
        answer = await self._ask(call, self._service.ModelConfig, named)
        return json_answer(plain(answer.config), call)

    async def get_statistics(self, request: web.Request) -> web.Response:
        """Of one model, or of all."""
        call = HttpCall(request)
        named = _named(request, pb.ModelStatisticsRequest)
        return json_answer(plain(await self._ask(call, self._service.ModelStatistics, named)), call)

    async def index(self, request: web.Request) -> web.Response:
        """The models, with the versions that could not be loaded and why."""
        call = HttpCall(request)

        async def read() -> pb.RepositoryIndexRequest:
            document = await self._read_small(request, call)
            return pb.RepositoryIndexRequest(ready=a_bool(document.get("ready", False), "ready"))

        answer = await self._ask(call, self._service.RepositoryIndex, read)
        return json_answer(plain(answer)["models"], call)

    async def load(self, request: web.Request) -> web.Response:
        """Looks for a newer version at once; answers when it serves, or there is none."""
        call = HttpCall(request)
        read = self._changing(request, call, pb.RepositoryModelLoadRequest)
        await self._ask(call, self._service.RepositoryModelLoad, read)
        return json_answer({}, call)

    async def unload(self, request: web.Request) -> web.Response:
        """Is refused, as over gRPC."""
        call = HttpCall(request)
        read = self._changing(request, call, pb.RepositoryModelUnloadRequest)
        await self._ask(call, self._service.RepositoryModelUnload, read)
        return json_answer({}, call)

    async def infer(self, request: web.Request) -> web.Response:
        """Runs the model on one or more images."""
        call = HttpCall(request)
        try:
            await call.begin(self._calls, "ModelInfer")
            asked = await self._read_infer(request, call)
        except Refused as error:
            await call.refuse(self._calls, "ModelInfer", error)
        answer = await call.ended_in_time(self._service.ModelInfer(asked.request, call.context))
        document, binary = infer_answer(answer, asked)
        headers = {REQUEST_ID: call.request_id} if call.request_id else {}
        if not binary:
            return web.Response(body=document, content_type="application/json", headers=headers)
        headers[JSON_BYTES] = str(len(document))
        body = b"".join((document, *binary))
        return web.Response(body=body, content_type="application/octet-stream", headers=headers)

    async def _ask(
        self,
        call: HttpCall,
        method: Callable[[M, Context], Awaitable[A]],
        read: Callable[[], M | Awaitable[M]],
    ) -> A:
        """What the service's method answers to the request that `read` gives."""
        try:
            await call.begin(self._calls, method.__name__)
            given = read()
            asked = given if isinstance(given, Message) else await given
        except Refused as error:
            await call.refuse(self._calls, method.__name__, error)
        return await call.ended_in_time(method(asked, call.context))

    async def _read_infer(self, request: web.Request, call: HttpCall) -> HttpInfer:
        json_bytes = _json_bytes(request)
        limit = MAX_JSON_BYTES if json_bytes is None else None
        body = await self._uploads.decoded(request, call, limit)
        if json_bytes is not None and json_bytes > len(body):
            raise FieldInvalid(
                JSON_BYTES, f"{JSON_BYTES} is {json_bytes}, and the body has {len(body)} bytes"
            )
        name, version = _name_and_version(request)
        return infer_of(body, json_bytes, name, version, call.request_id)

    def _changing(
        self, request: web.Request, call: HttpCall, kind: Callable[..., M]
    ) -> Callable[[], Awaitable[M]]:
        async def read() -> M:
            asked = kind(model_name=_name_and_version(request)[0])
            document = await self._read_small(request, call)
            parameters = an_object(document.get("parameters", {}), "parameters")
            put_parameters(parameters, "parameters", asked.parameters)  # type: ignore[attr-defined]
            return asked

        return read

    async def _read_small(self, request: web.Request, call: HttpCall) -> dict[str, Any]:
        """The body of a request that carries no tensors; it may be empty."""
        body = await self._uploads.decoded(request, call, MAX_REST_BYTES)
        return object_of(body) if body else {}


def _json_bytes(request: web.Request) -> int | None:
    """Raises FieldInvalid, BodyTooLarge."""
    text = request.headers.get(JSON_BYTES)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text)):
        raise FieldInvalid(JSON_BYTES, f"{JSON_BYTES} must be the JSON's number of bytes, not {text[:64]!r}")
    check_json_size(int(text))
    return int(text)


def _named(request: web.Request, kind: Callable[..., M]) -> Callable[[], M]:
    """For a request that has a model's name and version alone, if these."""

    def read() -> M:
        name, version = _name_and_version(request)
        return kind(name=name, version=version)

    return read


def _name_and_version(request: web.Request) -> tuple[str, str]:
    """Empty where the path has none. Raises FieldInvalid."""
    found = request.match_info
    return a_text(found.get("name", ""), "name"), a_text(found.get("version", ""), "version")
