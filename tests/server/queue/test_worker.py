"""A thread that computes keeps nothing alive that nobody needs."""

import threading
import weakref
from collections.abc import Sequence

import numpy as np

from server.queue.batch_policy import BatchLimits
from server.queue.batcher import Batcher
from server.queue.worker import Computed, ThreadWorker
from tests.server.event_loop import in_event_loop, until


class Image:
    pass


class Model:
    def __call__(self, images: Sequence[Image], is_alone: bool) -> Computed:
        return Computed([np.zeros(2, np.float32)], [0.0], 0.0, 0.0)


@in_event_loop
async def test_an_image_is_not_kept_until_the_next_batch_comes() -> None:
    batcher: Batcher[Image] = Batcher([ThreadWorker(Model())], BatchLimits(1))
    image = Image()
    reference = weakref.ref(image)
    await batcher.classify(image)
    del image
    await until(lambda: reference() is None)
    await batcher.close()


@in_event_loop
async def test_a_model_is_not_kept_by_whoever_knows_its_worker() -> None:
    model = Model()
    reference, worker = weakref.ref(model), ThreadWorker[Image](model)
    batcher = Batcher([worker], BatchLimits(1))
    del model
    await batcher.close()
    await until(lambda: reference() is None)
    assert batcher.workers == [worker]


@in_event_loop
async def test_a_device_that_hangs_cannot_hold_up_the_end_of_the_process() -> None:
    batcher = Batcher([ThreadWorker(Model(), "may-hang")], BatchLimits(1))
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "may-hang"] == [True]
    await batcher.close()


def test_what_a_batch_took_is_typical_unless_it_is_said() -> None:
    assert Computed([], [], 0.0, 0.0).is_typical
