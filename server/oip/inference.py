"""A ModelInfer call: its images through the queue that all images go through, its answer from theirs."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fovea.errors import ImageInvalid
from fovea.oip import open_inference_pb2 as pb
from server.calls.access_log import Call
from server.calls.answering import Context, check_request_id
from server.calls.sticky import key_of
from server.compute.backend import WorkItem
from server.models.model import CallTimes, Classified, Model, Models
from server.oip.aliases import ModelAlias, find, version_of
from server.oip.infer_request import Content, InferRequest
from server.oip.inputs import Images, images_of
from server.oip.outputs import flags_of, response, wanted_of
from server.oip.parameters import deadline_within, priority_of
from server.queue.priorities import Admission, Priority


class Inference:
    """Answers calls with the loaded models; lives in the event loop that they live in."""

    def __init__(self, models: Models, admission: Admission, max_images_per_call: int) -> None:
        self._models = models
        self._admission = admission
        self._max_images_per_call = max_images_per_call

    async def infer(
        self, received: InferRequest, context: Context, deadline: float | None, call: Call
    ) -> pb.ModelInferResponse:
        """`deadline` is on `time.monotonic`'s clock.

        Raises whatever a call may be refused for; of a bad image ImageInvalid, which says which one it is.
        """
        request = received.message
        check_request_id("id", request.id)
        alias, name = find(self._models, request.model_name)
        # Crops were made as the current version wants them.
        key = None if alias.takes_crops else partial(key_of, context, request.id)
        with self._models.use(version_of("model_version", request.model_version), name, key) as model:
            began_ms = int(time.time() * 1000)
            try:
                answer, timing, answer_s = await self._answer(received, alias, model, deadline, call)
            except Exception:
                model.count_call(alias.name, CallTimes(False, began_ms, time.monotonic() - call.started))
                raise
            model.count_call(alias.name, timing.of_call(began_ms, time.monotonic() - call.started, answer_s))
            return answer

    async def _answer(
        self,
        received: InferRequest,
        alias: ModelAlias,
        model: Model,
        deadline: float | None,
        call: Call,
    ) -> tuple[pb.ModelInferResponse, "_Timing", float]:
        """With what its images took, and the seconds of laying out the answer."""
        request = received.message
        images = images_of(received, alias, model.contract, self._max_images_per_call)
        wanted = wanted_of(request, alias, model)
        priority = priority_of(request.parameters, images.count)
        deadline = deadline_within(request.parameters, deadline)
        room = images.count, images.size_bytes, priority, model.retry_after_s, model.contract.name
        with self._admission.admit(*room):
            queue = _Queue(model, alias, flags_of(wanted, model), deadline, priority)
            classified = await queue.classify(images)
        classified_at = time.monotonic()
        answer = response(alias, model, request.id, wanted, classified)
        timing = _Timing.of(classified)
        timing.write_to(answer)
        call.images, call.version, call.batch_size = images.count, model.contract.version, timing.batch_size
        if call.trace is not None:
            call.trace.note_all(model.contract.name, classified)
        return answer, timing, time.monotonic() - classified_at


class _Queue:
    """The model's queue, as one call puts its images into it."""

    def __init__(
        self,
        model: Model,
        alias: ModelAlias,
        wants: int,
        deadline: float | None,
        priority: Priority,
    ) -> None:
        self._model = model
        self._is_crop = alias.takes_crops
        self._wants = wants
        self._deadline = deadline
        self._priority = priority

    async def classify(self, images: Images) -> list[Classified]:
        """In their order. When one fails, the others are given up."""
        if images.count == 1:
            return [await self._classify_one(0, images.content(0))]
        tasks: list[asyncio.Task[Classified]] = []
        try:
            for number in range(images.count):
                tasks.append(asyncio.create_task(self._classify_one(number, images.content(number))))
                if images.takes_time:  # other calls shall not wait for all of them
                    await asyncio.sleep(0)
            return await asyncio.gather(*tasks)
        finally:
            _give_up(tasks)
            del tasks  # a failure's traceback holds this frame, and with it the task that holds the failure

    async def _classify_one(self, number: int, content: Content) -> Classified:
        item = WorkItem(content, self._is_crop, self._wants, is_more=number > 0)
        try:
            return await self._model.classify(item, self._deadline, self._priority)
        except ImageInvalid as error:
            raise ImageInvalid(error.reason, f"image {number}: {error}") from None


def _give_up(tasks: list[asyncio.Task[Classified]]) -> None:
    """Those that are not done."""
    for task in tasks:
        task.cancel()


@dataclass(frozen=True)
class _Timing:
    """What a call took, of all its images; for its response and for the statistics."""

    decode_s: float
    """Decoding them, one after the other."""
    queue_s: float
    """The longest that one of them waited for its batch to start."""
    compute_s: float
    """The longest of the batches that they were in."""
    batch_size: int
    """Of the largest of these."""

    @classmethod
    def of(cls, images: Sequence[Classified]) -> "_Timing":
        return cls(
            sum(image.decode_s for image in images),
            max(image.queue_s for image in images),
            max(image.compute_s for image in images),
            max(image.batch_size for image in images),
        )

    def write_to(self, answer: pb.ModelInferResponse) -> None:
        for name in ("decode", "queue", "compute"):
            answer.parameters[f"{name}_us"].int64_param = round(getattr(self, f"{name}_s") * 1e6)
        answer.parameters["batch_size"].int64_param = self.batch_size

    def of_call(self, began_ms: int, seconds: float, answer_s: float) -> CallTimes:
        """A call that was answered; `answer_s` is what laying out the answer took."""
        return CallTimes(True, began_ms, seconds, self.queue_s, self.decode_s, self.compute_s, answer_s)
