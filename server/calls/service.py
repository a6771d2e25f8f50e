# ruff: noqa: N802 - the methods are named as in classify.proto
"""The service fovea.v1.Classifier: checks a call, admits it, lets the model answer, says what went wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from fovea.model.classifier import top_k
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierServicer
from server.calls.access_log import Call
from server.calls.answering import Calls, Context, check_request_id, deadline_of, note, refuse_malformed
from server.calls.description import model_description
from server.calls.details import add_details, add_selected, check_wants
from server.calls.message_fields import take_out
from server.calls.sticky import key_of
from server.calls.stream import as_they_come
from server.compute.backend import WorkItem
from server.compute.wants import DISTANCE, DRAW, EMBEDDING
from server.errors import FieldInvalid
from server.models.model import Classified, Model, Models
from server.queue.priorities import Admission, Priority

STREAM_WINDOW: Final = 16
"""Images of one stream that are in flight together."""

_IMAGES: Final = pb.ClassifyBatchRequest.DESCRIPTOR.fields_by_name["images"].number
FIRST_IS_IMAGE: Final = 0x0A
"""The tag of `image`."""
MAY_BE_IMAGE: Final = (FIRST_IS_IMAGE, FIRST_IS_IMAGE | 0x80)
"""How this tag begins: it may be written longer than it need be."""
MAX_REST_BYTES: Final = 1024
"""Of a request beside its image; requests of well-meaning callers have less."""

PRIORITIES: Final = {
    pb.PRIORITY_UNSPECIFIED: None,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    pb.PRIORITY_BULK: Priority.BULK,
}


@dataclass(slots=True)
class Asked:
    """What a caller wants to know of images."""

    top_k: int
    min_probability: float
    model_version: int
    priority: "pb.Priority.ValueType"
    model: str
    wants: int
    """Flags, see `server.compute.wants`."""
    request_id: str


@dataclass(slots=True)
class ImageRequest(Asked):
    """A ClassifyRequest whose image lies where it was received: protobuf would copy it twice."""

    image: memoryview


@dataclass(slots=True)
class BatchRequest(Asked):
    """A ClassifyBatchRequest, of the same kind."""

    images: list[memoryview]


OneImage = ImageRequest | pb.ClassifyRequest
Images = BatchRequest | pb.ClassifyBatchRequest
Query = OneImage | Images


class ClassifierService(ClassifierServicer):
    """Answers calls with the loaded models; lives in the event loop that they live in."""

    def __init__(self, models: Models, admission: Admission, calls: Calls) -> None:
        self._models = models
        self._admission = admission
        self._calls = calls

    async def Classify(self, request: OneImage, context: Context) -> pb.ClassifyResponse:
        deadline = deadline_of(context)
        async with self._call("Classify", request, context, deadline) as call:
            response = await self._classify(request, context, deadline, Priority.INTERACTIVE)
            note(call, response)
            return response

    async def ClassifyBatch(self, request: Images, context: Context) -> pb.ClassifyBatchResponse:
        deadline = deadline_of(context)
        async with self._call("ClassifyBatch", request, context, deadline) as call:
            response = await self._classify_batch(request, context, deadline)
            for result in response.results:
                note(call, result.response)
            return response

    async def ClassifyStream(
        self, request_iterator: AsyncIterator[OneImage], context: Context
    ) -> AsyncIterator[pb.ClassifyStreamResponse]:
        deadline = deadline_of(context)

        async def answer(request: OneImage) -> pb.ClassifyStreamResponse:
            refuse_malformed(request)  # which ends the stream: an answer would be to nobody knows which image
            try:
                response = await self._classify(request, context, deadline, Priority.BULK)
            except Exception as error:
                status = self._calls.status(error, request.request_id)
                return pb.ClassifyStreamResponse(request_id=request.request_id, error=status)
            return pb.ClassifyStreamResponse(request_id=request.request_id, response=response)

        async with self._call("ClassifyStream", None, context, deadline) as call:
            # Asked now: where the caller hangs up, this generator may be ended later than gRPC's call.
            peer = context.peer()
            call.peer = lambda: peer
            reading = self._admission.while_open()
            async for answered in as_they_come(request_iterator, answer, STREAM_WINDOW, reading):
                note(call, answered.response)
                yield answered

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        async with self._call("GetModel", request, context, deadline_of(context)):
            model = self._models.choose(request.model_version, request.model)
            return model_description(model, self._models.names, self._models.versions(request.model))

    async def _classify(
        self, request: OneImage, context: Context, deadline: float | None, default_priority: Priority
    ) -> pb.ClassifyResponse:
        priority = _priority_of(request.priority, default_priority)
        image = request.image  # of protobuf's messages it is a copy, each time
        _check(request)
        key = partial(key_of, context, request.request_id)
        with self._models.use(request.model_version, request.model, key) as model:
            _check_top_k(request, model)
            wants = _wants_of(request, model)
            with self._admission.admit(1, len(image), priority, model.retry_after_s, model.contract.name):
                return await self._classify_image(
                    model, WorkItem(image, wants=wants), request, deadline, priority
                )

    async def _classify_batch(
        self, request: Images, context: Context, deadline: float | None
    ) -> pb.ClassifyBatchResponse:
        """How many images there may be is checked before the request is parsed: see `request_limits`."""

        async def result(number: int) -> pb.ClassifyResult:
            try:
                item = WorkItem(images[number], wants=wants, is_more=number > 0)
                response = await self._classify_image(model, item, request, deadline, priority)
                return pb.ClassifyResult(response=response)
            except Exception as error:
                return pb.ClassifyResult(error=self._calls.status(error, request.request_id))

        priority = _priority_of(request.priority, Priority.BULK)
        images: list[bytes | memoryview] = [*request.images]
        size_bytes = sum(map(len, images))
        _check(request)
        key = partial(key_of, context, request.request_id)
        with self._models.use(request.model_version, request.model, key) as model:
            _check_top_k(request, model)
            wants = _wants_of(request, model)
            room = len(images), size_bytes, priority, model.retry_after_s, model.contract.name
            with self._admission.admit(*room):
                results = await asyncio.gather(*map(result, range(len(images))))
            identity = model.identity
        return pb.ClassifyBatchResponse(results=results, model=identity, request_id=request.request_id)

    async def _classify_image(
        self,
        model: Model,
        item: WorkItem,
        query: Query,
        deadline: float | None,
        priority: Priority,
    ) -> pb.ClassifyResponse:
        wants, classified = item.wants, await model.classify(item, deadline, priority)
        response = _response(model, classified, query.top_k or 1, query.min_probability, query.request_id)
        if (thresholds := model.contract.thresholds) is not None:
            add_selected(response, classified.probabilities, model.contract.labels, thresholds)
        if wants and classified.details is not None:
            add_details(response, model, classified.details, wants)
        return response

    def _call(
        self, method: str, request: object, context: Context, deadline: float | None
    ) -> AbstractAsyncContextManager[Call]:
        request_id = getattr(request, "request_id", "")
        return self._calls.answering(method, request, request_id, context, deadline)


def _check(query: Query) -> None:
    """Raises FieldInvalid."""
    check_request_id("request_id", query.request_id)
    if not 0 <= query.min_probability <= 1:
        raise FieldInvalid(
            "min_probability", f"min_probability must be from 0 to 1, not {query.min_probability:g}"
        )


def _check_top_k(query: Query, model: Model) -> None:
    """Raises FieldInvalid."""
    classes = len(model.contract.labels)
    if query.top_k > classes:
        there_are = f"as many as there are labels, not {query.top_k}"
        raise FieldInvalid("top_k", f"top_k must be at most {classes}, {there_are}")


def _wants_of(query: Query, model: Model) -> int:
    """Raises FieldInvalid for what the model was released without."""
    if wants := query.wants if isinstance(query, Asked) else _wanted_by(query):
        check_wants(wants, model)
    return wants


def _wanted_by(query: pb.ClassifyRequest | pb.ClassifyBatchRequest) -> int:
    return query.want_distance * DISTANCE | query.want_label_set * DRAW | query.want_embedding * EMBEDDING


def image_request(data: bytes) -> OneImage:
    """What protobuf would make of it. Raises DecodeError."""
    start, end = _image_ahead(data)
    rest = data[end:]
    if not start or len(rest) > MAX_REST_BYTES or any(byte in rest for byte in MAY_BE_IMAGE):
        return pb.ClassifyRequest.FromString(data)  # of several images the last one counts
    query = pb.ClassifyRequest.FromString(rest)
    return ImageRequest(*_asked(query), memoryview(data)[start:end])


def batch_request(data: bytes) -> Images:
    """What protobuf would make of it. Raises DecodeError."""
    rest, images = take_out(data, _IMAGES)
    query = pb.ClassifyBatchRequest.FromString(rest)
    if query.images:  # by a tag that is longer than it need be
        return pb.ClassifyBatchRequest.FromString(data)
    return BatchRequest(*_asked(query), images)


PARSERS: Final = {
    "Classify": image_request,
    "ClassifyBatch": batch_request,
    "ClassifyStream": image_request,
}


def _asked(
    query: pb.ClassifyRequest | pb.ClassifyBatchRequest,
) -> tuple[int, float, int, "pb.Priority.ValueType", str, int, str]:
    named = query.top_k, query.min_probability, query.model_version, query.priority, query.model
    return (*named, _wanted_by(query), query.request_id)


def _image_ahead(data: bytes) -> tuple[int, int]:
    """Where the image begins and ends which is the first field, as encoders write it; 0 where it is not."""
    size = shift = 0
    if data[:1] == bytes([FIRST_IS_IMAGE]):
        for start, byte in enumerate(data[1:6], 2):  # a length has no more bytes
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (start, start + size) if start + size <= len(data) else (0, 0)
    return 0, 0


def _priority_of(priority: "pb.Priority.ValueType", default: Priority) -> Priority:
    try:
        return PRIORITIES[priority] or default
    except KeyError:
        raise FieldInvalid("priority", f"priority must be from 0 to 2, not {priority}") from None


def _response(
    model: Model, classified: Classified, count: int, min_probability: float, request_id: str
) -> pb.ClassifyResponse:
    """`count` predictions at most, best first, none below `min_probability`."""
    labels, probabilities = model.contract.labels, classified.probabilities
    # The best one is known, and most callers ask for no other.
    best = [classified.best] if count == 1 else top_k(probabilities[np.newaxis], count)[0][0].tolist()
    predictions = [
        pb.Prediction(label=labels[index], index=index, probability=probability)
        for index in best
        if (probability := float(probabilities[index])) >= min_probability
    ]
    return pb.ClassifyResponse(
        predictions=predictions,
        abstained=classified.abstained,
        model=model.identity,
        timing=pb.Timing(
            decode_us=round(classified.decode_s * 1e6),
            queue_us=round(classified.queue_s * 1e6),
            batch_size=classified.batch_size,
            compute_us=round(classified.compute_s * 1e6),
        ),
        request_id=request_id,
    )
