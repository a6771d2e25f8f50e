"""A ModelInfer call: its images through the queue that all images go through, its answer from theirs."""

import asyncio
import time

from fovea.errors import ImageInvalid
from fovea.oip import open_inference_pb2 as pb
from server.calls.admission import Admission
from server.calls.answering import check_request_id
from server.compute.work_item import Task
from server.models.loaded_models import LoadedModels
from server.models.served_model import Classified, ServedModel
from server.oip.faces import Face, face_of, version_of
from server.oip.inputs import Content, Images, images_of
from server.oip.outputs import response, wanted_of
from server.oip.parameters import deadline_within, lane_of
from server.oip.timing import Timing
from server.queue.priority_queue import Lane
from server.telemetry.access_log import Call


class Inference:
    """Answers calls with the loaded models; lives in the event loop that they live in."""

    def __init__(self, models: LoadedModels, admission: Admission, max_images_per_call: int) -> None:
        self._models = models
        self._admission = admission
        self._max_images_per_call = max_images_per_call

    async def infer(
        self, request: pb.ModelInferRequest, deadline: float | None, call: Call
    ) -> pb.ModelInferResponse:
        """`deadline` is on `time.monotonic`'s clock.

        Raises whatever a call may be refused for; of a bad image ImageInvalid, which says which one it is.
        """
        check_request_id("id", request.id)
        face = face_of(self._models.choose(0).contract, request.model_name)
        with self._models.use(version_of("model_version", request.model_version)) as model:
            tallies = model.statistics.calls_to(face.name)
            tallies.begin()
            try:
                answer = await self._answer(request, face, model, deadline, call)
            except Exception:
                tallies.fail.add(time.monotonic() - call.started)
                raise
            tallies.success.add(time.monotonic() - call.started)
            return answer

    async def _answer(
        self,
        request: pb.ModelInferRequest,
        face: Face,
        model: ServedModel,
        deadline: float | None,
        call: Call,
    ) -> pb.ModelInferResponse:
        images = images_of(request, face, model.contract, self._max_images_per_call)
        wanted = wanted_of(request, face)
        lane = lane_of(request.parameters, images.count)
        deadline = deadline_within(request.parameters, deadline)
        wants_logits = any(output.name == "logits" for output in wanted)
        with self._admission.admit(images.count, images.size_bytes, lane, model.retry_after_s):
            queue = _Queue(model, face, wants_logits, deadline, lane)
            classified = await queue.classify(images)
        classified_at = time.monotonic()
        answer = response(face, model.contract, request.id, wanted, classified)
        timing = Timing.of(classified)
        timing.write_to(answer)
        call.images, call.version, call.batch_size = images.count, model.contract.version, timing.batch_size
        tallies = model.statistics.calls_to(face.name)
        timing.add_to(tallies)
        tallies.answer.add(time.monotonic() - classified_at)
        return answer


class _Queue:
    """The model's queue, as one call puts its images into it."""

    def __init__(
        self, model: ServedModel, face: Face, wants_logits: bool, deadline: float | None, lane: Lane
    ) -> None:
        self._model = model
        self._is_crop = face.takes_crops
        self._wants_logits = wants_logits
        self._deadline = deadline
        self._lane = lane

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
        image: bytes | Task
        if self._is_crop or self._wants_logits:
            image = Task(content, self._is_crop, self._wants_logits)
        else:
            image = bytes(content)
        try:
            return await self._model.classify(image, self._deadline, self._lane)
        except ImageInvalid as error:
            raise ImageInvalid(error.reason, f"image {number}: {error}") from None


def _give_up(tasks: list[asyncio.Task[Classified]]) -> None:
    """Those that are not done."""
    for task in tasks:
        task.cancel()
