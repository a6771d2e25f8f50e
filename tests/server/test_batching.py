import asyncio
import threading
import time

import numpy as np
import pytest

from fovea.classifier import Probabilities
from fovea.preprocess import Pixels
from server.batching import Answer, Batcher
from server.errors import ComputeFailed, DeadlinePassed
from tests.server.event_loop import in_event_loop

SIZE = 2


class GatedModel:
    """Answers each image with its own first value, and each batch only when it is let through."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failures: list[Exception] = []
        self._started = threading.Semaphore(0)
        self._gate = threading.Semaphore(0)

    def __call__(self, pixels: Pixels) -> Probabilities:
        self.batches.append(pixels[:, 0, 0, 0].tolist())
        self._started.release()
        assert self._gate.acquire(timeout=20)
        if self.failures:
            raise self.failures.pop()
        return pixels[:, 0, 0, :1].astype(np.float32)

    async def started(self) -> None:
        """Waits until one more batch is being computed."""
        assert await asyncio.to_thread(self._started.acquire, timeout=20)

    def let_through(self, batches: int = 1000) -> None:
        self._gate.release(batches)


def submit(batcher: Batcher, *values: int, deadline: float | None = None) -> list[asyncio.Task[Answer]]:
    return [
        asyncio.create_task(batcher.classify(np.full((SIZE, SIZE, 3), value, np.uint8), deadline))
        for value in values
    ]


async def busy(model: GatedModel, **options: float) -> tuple[Batcher, asyncio.Task[Answer]]:
    """A batcher whose model computes image 0 until it is let through."""
    batcher = Batcher(model, SIZE, **{"max_batch_size": 4, **options})  # type: ignore[arg-type]
    (first,) = submit(batcher, 0)
    await model.started()
    return batcher, first


def values(answers: list[Answer]) -> list[int]:
    return [int(answer.probabilities[0]) for answer in answers]


@in_event_loop
async def test_lone_image_does_not_wait_for_others() -> None:
    model = GatedModel()
    batcher, first = await busy(model)
    model.let_through()
    assert (await first).batch_size == 1
    await batcher.close()


@in_event_loop
async def test_next_batch_forms_while_the_model_is_busy() -> None:
    model = GatedModel()
    batcher, _ = await busy(model)
    answers = submit(batcher, 1, 2, 3)
    model.let_through()
    assert values(await asyncio.gather(*answers)) == [1, 2, 3]
    assert model.batches == [[0], [1, 2, 3]]
    await batcher.close()


@in_event_loop
async def test_batch_is_never_larger_than_max_batch_size() -> None:
    model = GatedModel()
    batcher, _ = await busy(model)
    answers = submit(batcher, *range(1, 7))
    model.let_through()
    await asyncio.gather(*answers)
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]
    await batcher.close()


@in_event_loop
async def test_each_answer_belongs_to_its_image() -> None:
    model = GatedModel()
    model.let_through()
    batcher = Batcher(model, SIZE, max_batch_size=7)
    assert values(await asyncio.gather(*submit(batcher, *range(250)))) == list(range(250))
    await batcher.close()


@in_event_loop
async def test_cancelled_image_is_never_computed() -> None:
    model = GatedModel()
    batcher, _ = await busy(model)
    answers = submit(batcher, 1, 2, 3, 4, 5)
    await asyncio.sleep(0)
    answers[1].cancel()
    answers[4].cancel()
    await asyncio.wait(answers[1:2])
    model.let_through()
    assert values(await asyncio.gather(answers[0], *answers[2:4])) == [1, 3, 4]
    assert model.batches == [[0], [1, 3, 4]]
    await batcher.close()


@in_event_loop
async def test_image_whose_deadline_has_passed_is_refused_while_the_model_is_busy() -> None:
    model = GatedModel()
    batcher, first = await busy(model)
    (late,) = submit(batcher, 1, deadline=time.monotonic())
    with pytest.raises(DeadlinePassed):
        await late
    model.let_through()
    await first
    assert model.batches == [[0]]
    await batcher.close()


@in_event_loop
async def test_image_whose_deadline_passes_in_the_queue_is_never_computed() -> None:
    model = GatedModel()
    batcher, _ = await busy(model)
    deadline = time.monotonic() + 0.05
    (late,), (patient,) = submit(batcher, 1, deadline=deadline), submit(batcher, 2)
    asyncio.get_running_loop().call_at(deadline + 0.01, model.let_through)
    with pytest.raises(DeadlinePassed):
        await late
    await patient
    assert model.batches == [[0], [2]]
    await batcher.close()


@in_event_loop
async def test_failing_model_fails_its_batch_and_answers_the_next() -> None:
    model = GatedModel()
    batcher, first = await busy(model)
    model.failures = [RuntimeError("out of memory")]
    next_one = submit(batcher, 1)
    model.let_through()
    with pytest.raises(ComputeFailed, match="out of memory"):
        await first
    assert values(await asyncio.gather(*next_one)) == [1]
    await batcher.close()


@in_event_loop
async def test_queue_delay_waits_for_more_images() -> None:
    model = GatedModel()
    model.let_through()
    batcher = Batcher(model, SIZE, max_batch_size=4, max_queue_delay_s=0.05)
    first = submit(batcher, 1)
    await asyncio.sleep(0)
    answers = await asyncio.gather(*first, *submit(batcher, 2))
    assert model.batches == [[1, 2]]
    assert answers[0].queue_s >= 0.05
    await batcher.close()


@in_event_loop
async def test_full_batch_does_not_wait_for_the_queue_delay() -> None:
    model = GatedModel()
    model.let_through()
    batcher = Batcher(model, SIZE, max_batch_size=2, max_queue_delay_s=3600)
    assert values(await asyncio.gather(*submit(batcher, 1, 2))) == [1, 2]
    await batcher.close()


@in_event_loop
async def test_queued_counts_the_images_that_wait() -> None:
    model = GatedModel()
    batcher, first = await busy(model)
    answers = submit(batcher, *range(1, 7))
    await asyncio.sleep(0)
    assert batcher.queued == 6
    model.let_through()
    await asyncio.gather(first, *answers)
    assert batcher.queued == 0
    await batcher.close()


@in_event_loop
async def test_closing_answers_the_batch_that_is_being_computed() -> None:
    model = GatedModel()
    batcher, first = await busy(model)
    closing = asyncio.create_task(batcher.close())
    model.let_through()
    await closing
    assert (await first).batch_size == 1
