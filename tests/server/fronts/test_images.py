"""Images on their way from a front to the model and back, both ends in this process.

The model takes the way to a GPU, with decoding ahead, a CPU in its place; each batch waits for `gate`.
"""

import asyncio
import mmap
import os
import socket
import threading
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.capture.reading import read_captures
from fovea.errors import ImageInvalid
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU, Classifier
from fovea.v1 import classify_pb2 as pb
from server.calls.details import add_details
from server.compute.backend import Decoder, GpuBackend, WorkItem
from server.compute.engine import Engine
from server.compute.wants import DRAW, LOGITS
from server.config import ServeSettings
from server.errors import ComputeFailed, DeadlinePassed, NoModelReady
from server.fronts import frames
from server.fronts.arena import Arena
from server.fronts.frames import Link
from server.fronts.images import FrontImages
from server.fronts.page import Page
from server.fronts.remote import Owner, RemoteModel
from server.fronts.told import LiveModel
from server.models.captures import captures_of
from server.models.served_model import ServedModel
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.priorities import Priority
from server.queue.worker import Computed, ThreadWorker
from server.rollout.measured import Measured
from server.telemetry.metrics import Metrics
from tests import tiny
from tests.server.event_loop import in_event_loop, until
from tests.server.oip_calls import IMAGES, crops_of

GENERATION = 3


class Ends:
    """A front's end and the server's, with a model between them."""

    def __init__(
        self,
        bundle: ModelBundle,
        classifier: Classifier,
        size_bytes: int,
        ahead: bool,
        options: dict[str, Any],
    ) -> None:
        self.gate = threading.Semaphore(0)
        self.failure: Exception | None = None
        decoder = Decoder(bundle.contract.preprocess)
        self._compute = GpuBackend(classifier, decoder, known_classes=bundle.known_classes())
        worker = ThreadWorker[Any](self._gated)
        engine = Engine(bundle, CPU, "fp32", [worker], BatchLimits(4), CostModel(), ahead)
        self.metrics = Metrics()
        settings = ServeSettings(models="unused", **options)
        self.captures = captures_of(settings, self.metrics)
        model_metrics = self.metrics.of_model("pets")
        self.served = ServedModel(engine, settings, model_metrics, captures=self.captures)
        self.images = FrontImages(1, size_bytes, {GENERATION: self.served})
        self.arena = Arena(self.images.descriptor, size_bytes)
        self.owner = Owner(self.arena, Page.create(2))
        self.model = RemoteModel(LiveModel.of("tiny", GENERATION, self.served), self.owner)
        self.inline = 0

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        front, server = socket.socketpair()
        at_front = Link(self._to_front, lambda: None)
        at_server = Link(self._to_server, self.images.end)
        await loop.create_unix_connection(lambda: at_front, sock=front)
        await loop.create_unix_connection(lambda: at_server, sock=server)
        self.owner.link, self.images.link = at_front, at_server

    async def classify(self, image: bytes, **named: Any) -> Any:
        return await self.model.classify(WorkItem(image, **named), None)

    def open_gate(self) -> None:
        self.gate.release(1000)

    def has_room(self) -> bool:
        """For a whole arena's image."""
        if (start := self.arena.put(b"x")) is not None:
            self.arena.free(start, 1)
        return start is not None

    def _to_server(self, kind: bytes, content: memoryview) -> None:
        if kind == frames.IMAGE:
            self.inline += len(content) > frames.OF_IMAGE.size
            self.images.take(content)
        else:
            assert kind == frames.LEFT
            self.images.leave(*frames.NUMBER.unpack(content))

    def _to_front(self, kind: bytes, content: memoryview) -> None:
        take = {
            frames.ANSWER: self.owner.answered,
            frames.REFUSED: self.owner.refused,
            frames.GONE: self.owner.gone,
        }
        take[kind](content)

    def _gated(self, items: Sequence[WorkItem], is_alone: bool) -> Computed:
        assert self.gate.acquire(timeout=20)
        if self.failure is not None:
            raise self.failure
        return self._compute(items, is_alone)


@asynccontextmanager
async def both_ends(
    bundle: ModelBundle,
    classifier: Classifier,
    size_bytes: int = 64 * mmap.PAGESIZE,
    *,
    ahead: bool = True,
    **options: Any,
) -> AsyncIterator[Ends]:
    ends = Ends(bundle, classifier, size_bytes, ahead, options)
    await ends.connect()
    try:
        yield ends
    finally:
        ends.open_gate()
        await ends.served.close()


@in_event_loop
async def test_answers_are_the_models_own(tiny_bundle: ModelBundle, tiny_classifier: Classifier) -> None:
    crops = crops_of(IMAGES)
    expected = tiny_classifier.classify_with_logits(crops)
    for ahead in (True, False):
        async with both_ends(tiny_bundle, tiny_classifier, ahead=ahead) as ends:
            ends.open_gate()
            encoded = await asyncio.gather(*map(ends.classify, IMAGES))
            wants = LOGITS | DRAW
            pixels = [await ends.classify(crop.tobytes(), is_crop=True, wants=wants) for crop in crops]
            assert ends.inline == 0
            assert ends.metrics.registry.get_sample_value("fovea_queue_seconds_count") == 6
        for answer, row in zip((*encoded, *pixels), (*expected, *expected), strict=True):
            assert np.array_equal(answer.probabilities, row[0])
            assert answer.best == row[0].argmax()
        for answer, row, crop in zip(pixels, expected, crops, strict=True):
            assert np.array_equal(answer.details.logits, row[1])
            assert answer.details.draw == zlib.crc32(crop.tobytes()) / 2**32
        assert all(answer.details is None and answer.decode_s > 0 for answer in encoded)


@in_event_loop
async def test_distances_that_only_the_metrics_want_are_no_callers(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with both_ends(tiny_bundle, tiny_classifier, distance_sample=1) as ends:
        ends.open_gate()
        answers = [await ends.classify(IMAGES[0]), await ends.classify(IMAGES[0], wants=LOGITS)]
        assert ends.metrics.registry.get_sample_value("fovea_distance_count") == 2
    for wants, answer in zip((0, LOGITS), answers, strict=True):
        response = pb.ClassifyResponse()
        add_details(response, ends.model, answer.details, wants)
        assert response == pb.ClassifyResponse()
    assert len(answers[1].details.logits) == len(tiny.LABELS)


@in_event_loop
async def test_what_is_captured_is_the_image_that_was_answered(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier, tmp_path: Path
) -> None:
    """Its place in the arena is another image's by then."""
    for ahead in (True, False):
        options: dict[str, Any] = {"capture": str(tmp_path / str(ahead)), "capture_share": 1.0}
        async with both_ends(tiny_bundle, tiny_classifier, ahead=ahead, **options) as ends:
            ends.open_gate()
            answers = [await ends.classify(image) for image in IMAGES]
            await ends.classify(crops_of(IMAGES[:1])[0].tobytes(), is_crop=True)
            assert ends.captures is not None
            ends.captures.begin()
            await ends.captures.close(60)
        captured = list(read_captures(str(tmp_path / str(ahead))))
        assert [row.image for row in captured] == list(IMAGES)
        labels = tiny_bundle.contract.labels
        assert [row.label for row in captured] == [labels[answer.best] for answer in answers]


@in_event_loop
async def test_interactive_images_go_before_bulk_ones(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with both_ends(tiny_bundle, tiny_classifier) as ends:
        first = asyncio.create_task(ends.classify(IMAGES[0]))
        await until(lambda: ends.served.batcher.running == 1)
        bulk, interactive = (
            [asyncio.create_task(ends.model.classify(WorkItem(IMAGES[0]), None, priority)) for _ in range(4)]
            for priority in (Priority.BULK, Priority.INTERACTIVE)
        )
        await until(lambda: ends.served.batcher.queued == 8)
        ends.gate.release(2)
        await asyncio.gather(first, *interactive)
        assert not any(task.done() for task in bulk)
        ends.open_gate()
        await asyncio.gather(*bulk)


@in_event_loop
async def test_what_is_wrong_with_an_image_its_caller_hears(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with both_ends(tiny_bundle, tiny_classifier) as ends:
        measured = Measured(tiny.LABELS, ends.metrics.of_model("pets").of_version(1))
        ends.served.measured = measured
        with pytest.raises(ImageInvalid) as bad:
            await ends.classify(b"no image")
        assert bad.value.reason == "not_an_image"
        with pytest.raises(ImageInvalid):
            await ends.classify(b"")
        with pytest.raises(DeadlinePassed):
            await ends.model.classify(WorkItem(IMAGES[0]), 0.0)
        ends.failure = RuntimeError("it does not compute")
        ends.open_gate()
        with pytest.raises(ComputeFailed, match="it does not compute"):
            await ends.classify(IMAGES[0])
        with pytest.raises(ComputeFailed):
            await ends.classify(IMAGES[0], is_more=True)
        ends.failure = None
        for is_more in (False, True, True):
            await ends.classify(IMAGES[0], is_more=is_more)
        stranger = RemoteModel(LiveModel.of("tiny", GENERATION + 1, ends.served), ends.owner)
        with pytest.raises(NoModelReady):
            await stranger.classify(WorkItem(IMAGES[0]), None)
        assert (measured.window.answers, measured.window.errors) == (1, 1), "the first of a call"
        of_all = [
            ends.metrics.registry.get_sample_value(f"fovea_rollout_{name}_total", {"version": "1"})
            for name in ("answers", "errors")
        ]
        assert of_all == [3, 2]
        assert ends.arena.put(bytes(64 * mmap.PAGESIZE)) == 0, "nothing lies there any more"


@in_event_loop
async def test_an_image_for_which_there_is_no_room_goes_over_the_socket(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with both_ends(tiny_bundle, tiny_classifier, mmap.PAGESIZE) as ends:
        large = tiny.picture("red", (900, 700), "BMP")
        ends.open_gate()
        answer = await ends.classify(large)
        assert ends.inline == 1
    assert tiny.LABELS[answer.best] == "red"


@in_event_loop
async def test_where_an_image_lies_is_free_when_nobody_reads_it_though_its_caller_left_before(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    image = tiny.picture("blue", (20, 20))
    for ahead in (True, False):
        async with both_ends(tiny_bundle, tiny_classifier, mmap.PAGESIZE, ahead=ahead) as ends:
            leaving = asyncio.create_task(ends.classify(image))
            await until(lambda ends=ends: ends.served.batcher.running == 1)  # type: ignore[misc]
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            other = asyncio.create_task(ends.classify(image))
            await until(lambda ends=ends: ends.inline == 1)  # type: ignore[misc]
            assert not ends.has_room()
            ends.open_gate()
            assert (await other).best == tiny.LABELS.index("blue")
            await until(ends.has_room)
            assert len(ends.images) == 0
            sample = ends.metrics.registry.get_sample_value
            assert sample("fovea_predictions_total", {"label": "blue"}) == 1, "nobody asked for the other"


@in_event_loop
async def test_what_waits_for_a_caller_who_left_is_never_computed(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with both_ends(tiny_bundle, tiny_classifier, ahead=False) as ends:
        first = asyncio.create_task(ends.classify(IMAGES[0]))
        await until(lambda: ends.served.batcher.running == 1)
        waiting = [asyncio.create_task(ends.classify(image)) for image in IMAGES]
        await until(lambda: ends.served.batcher.queued == len(IMAGES))
        for each in waiting:
            each.cancel()
        await until(lambda: ends.served.batcher.queued == 0)
        ends.open_gate()
        await first
        assert (await ends.served.figures()).images == 1


@in_event_loop
async def test_a_front_that_ends_has_its_images_given_up(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    async with both_ends(tiny_bundle, tiny_classifier, ahead=False) as ends:
        lost = [asyncio.create_task(ends.classify(image)) for image in IMAGES]
        await until(lambda: ends.served.batcher.running + ends.served.batcher.queued == len(IMAGES))
        assert ends.owner.link is not None
        ends.owner.link.close()
        await until(lambda: ends.served.batcher.queued == 0)
        kept = os.dup(ends.images.descriptor)
        assert os.fstat(kept).st_blocks, "what is computed is still read"
        ends.open_gate()
        await until(lambda: ends.images.descriptor < 0)
        assert not os.fstat(kept).st_blocks, "whoever has it mapped keeps no memory"
        os.close(kept)
        for each in lost:
            each.cancel()
