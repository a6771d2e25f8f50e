"""The way of images to a GPU, with a CPU in its place: decoded ahead in threads, computed batch by batch."""

import asyncio
import gc
import threading
import time
import weakref

import numpy as np
import pytest

from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU, Classifier
from server.compute.backend import Decoder, GpuBackend, WorkItem
from server.compute.decode_ahead import AheadDecoder
from server.compute.engine import Engine
from server.config import ServeSettings
from server.errors import DeadlinePassed
from server.models.served_model import ServedModel
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.worker import ThreadWorker
from server.telemetry.metrics import Metrics
from tests import tiny
from tests.server.event_loop import in_event_loop, until


def served(bundle: ModelBundle, classifier: Classifier) -> ServedModel:
    backend = GpuBackend(classifier, Decoder(bundle.contract.preprocess))
    workers = [ThreadWorker(backend) for _ in range(2)]
    engine = Engine(bundle, CPU, "fp32", workers, BatchLimits(4), CostModel(), decode_ahead=True)
    return ServedModel(engine, ServeSettings(models="unused"), Metrics().of_model("pets"))


@in_event_loop
async def test_every_image_gets_its_own_answer(tiny_bundle: ModelBundle, tiny_classifier: Classifier) -> None:
    model = served(tiny_bundle, tiny_classifier)
    labels = [tiny.LABELS[number % 3] for number in range(100)]
    images = [tiny.picture(label, (20 + number, 25)) for number, label in enumerate(labels)]
    answers = await asyncio.gather(*(model.classify(WorkItem(image), None) for image in images))
    assert [tiny.LABELS[answer.best] for answer in answers] == labels
    assert max(answer.batch_size for answer in answers) == 4
    await model.close()


@in_event_loop
async def test_a_bad_image_never_reaches_the_queue(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    model = served(tiny_bundle, tiny_classifier)
    good, bad = await asyncio.gather(
        model.classify(WorkItem(tiny.picture("red")), None),
        model.classify(WorkItem(b"no image"), None),
        return_exceptions=True,
    )
    assert isinstance(bad, ImageInvalid)
    assert not isinstance(good, BaseException)
    assert good.batch_size == 1
    await model.close()


@in_event_loop
async def test_an_image_that_is_late_is_not_decoded(
    tiny_bundle: ModelBundle, tiny_classifier: Classifier
) -> None:
    model = served(tiny_bundle, tiny_classifier)
    with pytest.raises(DeadlinePassed, match="before the image could be queued"):
        await model.classify(WorkItem(b"no image"), time.monotonic())
    await model.close()


@in_event_loop
async def test_a_closed_model_is_freed_and_its_threads_end(tiny_bundle: ModelBundle) -> None:
    classifier = Classifier(tiny_bundle, "cpu", 1)
    freed = weakref.ref(classifier)
    others = set(threading.enumerate())
    model = served(tiny_bundle, classifier)
    del classifier
    await model.classify(WorkItem(tiny.picture("red")), None)
    assert set(threading.enumerate()) - others
    gc.disable()  # which would free it some time
    try:
        await model.close()
        await until(lambda: freed() is None and not set(threading.enumerate()) - others)
    finally:
        gc.enable()


class GatedDecoder:
    """Decodes to a black crop, once it may."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.decoded: list[bytes | memoryview] = []

    def __call__(self, item: WorkItem) -> Pixels:
        self.begun.release()
        assert self.may_go_on.wait(20)
        self.decoded.append(item.content)
        return np.zeros((16, 16, 3), np.uint8)


@in_event_loop
async def test_an_image_whose_turn_comes_too_late_is_not_decoded() -> None:
    decode = GatedDecoder()
    ahead = AheadDecoder(decode, threads=1)
    with pytest.raises(DeadlinePassed, match="before the image was decoded"):
        await ahead.decode(WorkItem(b"late"), time.monotonic())
    assert not decode.begun.acquire(blocking=False)
    ahead.close()


@in_event_loop
async def test_a_crop_waits_for_no_thread() -> None:
    decode = GatedDecoder()
    ahead = AheadDecoder(decode, threads=1)
    image = asyncio.ensure_future(ahead.decode(WorkItem(b"image"), None))
    await until(lambda: decode.begun.acquire(blocking=False))
    await ahead.decode(WorkItem(bytes(768), is_crop=True), None)
    assert not image.done()
    decode.may_go_on.set()
    await image
    ahead.close()


@in_event_loop
async def test_as_many_images_are_decoded_at_a_time_as_there_are_threads_and_none_after_the_end() -> None:
    decode = GatedDecoder()
    ahead = AheadDecoder(decode, threads=2)
    names = (b"first", b"second", b"third")
    images = [asyncio.ensure_future(ahead.decode(WorkItem(name), None)) for name in names]
    for _ in range(2):
        await until(lambda: decode.begun.acquire(blocking=False))
    ahead.close()
    decode.may_go_on.set()
    first, second, third = await asyncio.gather(*images, return_exceptions=True)
    assert (first, second) == (None, None)
    assert isinstance(third, asyncio.CancelledError)
    assert sorted(map(bytes, decode.decoded)) == [b"first", b"second"]
