"""The way of images to a GPU, with a CPU in its place: decoded ahead in threads, computed batch by batch."""

import asyncio
import gc
import time
import weakref

import pytest

from fovea.errors import ImageInvalid
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import CPU, Classifier
from server.compute.backend import Decoder, GpuBackend, WorkItem
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
    return ServedModel(engine, ServeSettings(models="unused"), Metrics())


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
async def test_a_closed_model_is_freed(tiny_bundle: ModelBundle) -> None:
    classifier = Classifier(tiny_bundle, "cpu", 1)
    freed = weakref.ref(classifier)
    model = served(tiny_bundle, classifier)
    del classifier
    await model.classify(WorkItem(tiny.picture("red")), None)
    gc.disable()  # which would free it some time
    try:
        await model.close()
        await until(lambda: freed() is None)
    finally:
        gc.enable()
