"""ModelInfer without a server around it: what it shares with all other calls, and the way to a GPU."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import numpy as np
import pytest

from fovea.errors import ImageInvalid
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU, Classifier
from fovea.oip import open_inference_pb2 as pb
from server.calls.access_log import Call
from server.calls.answering import Context
from server.compute.backend import Decoder, GpuBackend, WorkItem
from server.compute.engine import Engine
from server.config import ServeSettings
from server.errors import Draining, QueueFull, VersionNotLoaded
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.oip.aliases import aliases_of
from server.oip.description import model_statistics
from server.oip.infer_request import InferRequest
from server.oip.inference import Inference
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.priorities import Admission
from server.queue.worker import Computed, ThreadWorker
from server.rollout.measured import Measured
from server.telemetry.metrics import Metrics
from tests.server.event_loop import in_event_loop, until
from tests.server.oip_calls import IMAGES, crops_of, numbers, of_images, of_pixels, wanting, with_parameter


class Served:
    """A model on the way that images take to a GPU, with a CPU in its place; each batch waits for `gate`."""

    def __init__(self, bundle: ModelBundle, classifier: Classifier, max_images: int) -> None:
        self.gate = threading.Semaphore(0)
        self._compute = GpuBackend(classifier, Decoder(bundle.contract.preprocess))
        limits = BatchLimits(4)
        engine = Engine(bundle, CPU, "fp32", [ThreadWorker[Any](self._gated)], limits, CostModel(), True)
        self.metrics = Metrics()
        self.model = ServedModel(engine, ServeSettings(models="unused"), self.metrics.of_model("pets"))
        self.admission = Admission(max_images, 10**9)
        models: Catalogue[ServedModel] = Catalogue()
        models.add("pets").swap(self.model)
        self._inference = Inference(models, self.admission, 8)
        self.call = Call("ModelInfer", "", lambda: "")

    async def infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        received, nobody = InferRequest.parse(request.SerializeToString()), cast("Context", None)
        return await self._inference.infer(received, nobody, None, self.call)

    def open_gate(self) -> None:
        self.gate.release(1000)

    def statistics(self) -> dict[str, pb.ModelStatistics]:
        aliases = aliases_of(self.model.contract)
        figures, version = self.model.statistics.figures(), self.model.contract.version
        return {alias.name: model_statistics(figures, version, alias) for alias in aliases}

    def _gated(self, items: Sequence[WorkItem], is_alone: bool) -> Computed:
        assert self.gate.acquire(timeout=20)
        return self._compute(items, is_alone)


@asynccontextmanager
async def serving(bundle: ModelBundle, classifier: Classifier, max_images: int = 64) -> AsyncIterator[Served]:
    served = Served(bundle, classifier, max_images)
    try:
        yield served
    finally:
        served.open_gate()
        await served.model.close()


@in_event_loop
async def test_crops_and_logits_go_the_way_to_a_gpu_beside_encoded_images(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    expected = tiny_classifier.classify_with_logits(crops_of(IMAGES))
    async with serving(tiny_bundle, tiny_classifier) as served:
        measured = Measured(tiny_bundle.contract.labels, served.metrics.of_model("pets").of_version(1))
        served.model.measured = measured
        served.open_gate()
        answers = await asyncio.gather(
            served.infer(wanting(of_images(), "probabilities")),
            served.infer(wanting(of_pixels(crops_of(IMAGES)), "probabilities", "logits")),
            served.infer(of_images()),
        )
    assert measured.window.answers == len(answers), "of each call its first image"
    for answer in answers:
        np.testing.assert_array_equal(numbers(answer, "probabilities"), expected[:, 0])
    for answer in answers[1:]:
        np.testing.assert_array_equal(numbers(answer, "logits"), expected[:, 1])


@in_event_loop
async def test_a_bad_image_is_named_and_the_others_are_given_up(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with serving(tiny_bundle, tiny_classifier) as served:
        with pytest.raises(ImageInvalid, match="image 1: the image is empty") as raised:
            await served.infer(of_images([IMAGES[0], b"", *IMAGES]))
        assert raised.value.reason == "empty"
        assert served.admission.images == 0
        await until(lambda: served.model.batcher.queued == 0)


@in_event_loop
async def test_a_call_that_failed_leaves_nothing_for_the_garbage_collection(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with serving(tiny_bundle, tiny_classifier) as served:
        served.open_gate()
        gc.disable()
        try:
            for images in ([b"bad"], [*IMAGES, b"bad"], [b"bad", b"bad", IMAGES[0]]):
                try:
                    await served.infer(of_images(images))
                except ImageInvalid as error:
                    failure = weakref.ref(error)
                # Whoever decoded it may hold it for a moment.
                await until(lambda failed=failure: failed() is None)  # type: ignore[misc]
        finally:
            gc.enable()


@in_event_loop
async def test_what_is_in_flight_otherwise_leaves_no_room(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with serving(tiny_bundle, tiny_classifier, max_images=4) as served:
        with served.admission.admit(2, 10), pytest.raises(QueueFull, match="2 images are in flight, of 4"):
            await served.infer(of_images())
        served.open_gate()
        assert (await served.infer(of_images())).outputs


@in_event_loop
async def test_a_server_that_is_shutting_down_refuses(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with serving(tiny_bundle, tiny_classifier) as served:
        served.admission.close()
        with pytest.raises(Draining):
            await served.infer(of_images())


async def finished_in(served: Served, *requests: pb.ModelInferRequest) -> list[str]:
    """The ids in the order of the answers, when all wait behind a batch that is being computed."""
    order: list[str] = []

    async def infer(request: pb.ModelInferRequest) -> None:
        order.append((await served.infer(request)).id)

    first = asyncio.create_task(served.infer(of_images(IMAGES[:1])))
    await until(lambda: served.model.batcher.running == 1)
    calls = []
    for request in requests:
        queued = served.model.batcher.queued
        calls.append(asyncio.create_task(infer(request)))
        await until(lambda there=queued: served.model.batcher.queued > there)  # type: ignore[misc]
    served.open_gate()
    await asyncio.gather(first, *calls)
    return order


@in_event_loop
async def test_the_highest_priority_goes_before_lower_ones(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    pixels = np.repeat(crops_of(IMAGES[:1]), 4, axis=0)
    async with serving(tiny_bundle, tiny_classifier) as served:
        lower = with_parameter(of_pixels(pixels, id="lower"), "priority", int64_param=2)
        highest = with_parameter(of_pixels(pixels, id="highest"), "priority", uint64_param=1)
        assert await finished_in(served, lower, highest) == ["highest", "lower"]


@in_event_loop
async def test_by_default_one_image_goes_before_several(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    pixels = np.repeat(crops_of(IMAGES[:1]), 4, axis=0)
    async with serving(tiny_bundle, tiny_classifier) as served:
        several, one = of_pixels(pixels, id="several"), of_pixels(pixels[:1], id="one")
        assert await finished_in(served, several, one) == ["one", "several"]


@in_event_loop
async def test_the_log_is_told_of_the_call(tiny_bundle: ModelBundle, tiny_classifier: Classifier) -> None:
    async with serving(tiny_bundle, tiny_classifier) as served:
        served.open_gate()
        await served.infer(of_images())
        assert (served.call.images, served.call.version) == (3, 1)
        assert 1 <= served.call.batch_size <= 3


@in_event_loop
async def test_statistics_are_of_the_calls_by_name_and_of_all_batches(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with serving(tiny_bundle, tiny_classifier) as served:
        served.open_gate()
        for _ in range(2):
            await served.infer(of_images())
        await served.model.classify(WorkItem(IMAGES[0]), None)
        with pytest.raises(ImageInvalid):
            await served.infer(of_images([b"bad"]))
        with pytest.raises(VersionNotLoaded):  # of another version it is no failure of this one
            await served.infer(of_images(model_version="9"))
        of_name, of_other = served.statistics().values()
    assert (of_name.name, of_name.version, of_other.name) == ("tiny", "1", "tiny_onnx")
    stats = of_name.inference_stats
    assert [stats.success.count, stats.queue.count, stats.compute_input.count] == [2, 2, 2]
    assert [stats.compute_infer.count, stats.compute_output.count, stats.fail.count] == [2, 2, 1]
    assert stats.success.ns > stats.compute_infer.ns > 0
    assert stats.fail.ns > 0
    assert of_name.last_inference > of_other.last_inference == 0
    assert of_other.inference_stats.success.count == 0
    for one in (of_name, of_other):
        assert one.inference_count == 7
        assert sum(batch.batch_size * batch.compute_infer.count for batch in one.batch_stats) == 7
        assert sum(batch.compute_infer.count for batch in one.batch_stats) == one.execution_count


@in_event_loop
async def test_crops_do_not_count_as_decoded(tiny_bundle: ModelBundle, tiny_classifier: Classifier) -> None:
    async with serving(tiny_bundle, tiny_classifier) as served:
        served.open_gate()
        await served.infer(of_pixels(crops_of(IMAGES)))
        sample = served.metrics.registry.get_sample_value
        assert sample("fovea_decode_seconds_count") == 0
        assert sample("fovea_queue_seconds_count") == 3
        assert sample("fovea_predictions_total", {"label": "blue"}) == 1
