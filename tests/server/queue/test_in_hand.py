"""A worker that computes short batches gets the next one before it is done. A batch of n takes n * 2 ms."""

import asyncio

import pytest

from server.errors import ComputeFailed
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.batcher import Batcher
from server.queue.priorities import Priority
from server.queue.worker import WorkerDied
from tests.server.event_loop import all_has_run, in_event_loop
from tests.server.gated_model import submit, values
from tests.server.manual_clock import ManualClock
from tests.server.manual_worker import ManualWorker, images_of

IMAGE_S = 0.002


def before(
    *workers: ManualWorker,
    clock: ManualClock | None = None,
    target_batch_s: float = 2 * IMAGE_S,
    max_queue_delay_s: float = 0.0,
) -> Batcher[int]:
    """Two images are a full batch."""
    clock = clock or ManualClock()
    limits = BatchLimits(8, len(workers), target_batch_s, max_queue_delay_s=max_queue_delay_s)
    return Batcher(workers, limits, CostModel([(1, IMAGE_S), (2, 2 * IMAGE_S)], clock=clock), clock=clock)


@in_event_loop
async def test_a_worker_gets_its_next_batch_while_it_computes() -> None:
    worker = ManualWorker(capacity=2)
    batcher = before(worker)
    answers = submit(batcher, *range(6))
    await all_has_run()
    assert worker.images == [[0, 1], [2, 3]]
    assert not any(batch.is_alone for batch in worker.batches)
    assert (batcher.running, batcher.queued) == (4, 2)
    worker.finish()
    await all_has_run()
    assert worker.images == [[2, 3], [4, 5]]
    worker.finish()
    worker.finish()
    assert values(await asyncio.gather(*answers)) == list(range(6))
    assert batcher.running == 0
    await batcher.close()


@in_event_loop
async def test_what_is_no_full_batch_waits_for_more_or_for_the_worker() -> None:
    worker = ManualWorker(capacity=2)
    batcher = before(worker)
    answers = submit(batcher, 0, 1, 2)
    await all_has_run()
    assert worker.images == [[0, 1]]
    worker.finish()
    await all_has_run()
    assert worker.images == [[2]]
    worker.finish()
    await asyncio.gather(*answers)
    await batcher.close()


@in_event_loop
async def test_batches_that_take_long_gain_nothing_and_are_not_handed_over() -> None:
    worker = ManualWorker(capacity=2)
    batcher = before(worker, target_batch_s=0.99 * IMAGE_S)
    answers = submit(batcher, 0, 1)
    await all_has_run()
    assert worker.images == [[0]]
    worker.finish()
    await all_has_run()
    worker.finish()
    await asyncio.gather(*answers)
    await batcher.close()


@in_event_loop
async def test_a_worker_that_takes_one_batch_gets_one() -> None:
    worker = ManualWorker(capacity=1)
    batcher = before(worker)
    submit(batcher, *range(4))
    await all_has_run()
    assert worker.images == [[0, 1]]
    await batcher.close()


@in_event_loop
async def test_whoever_is_free_goes_first_then_whoever_is_free_soonest() -> None:
    clock, workers = ManualClock(), [ManualWorker(capacity=2) for _ in range(3)]
    batcher = before(*workers, clock=clock)
    submit(batcher, *range(6))
    await all_has_run()
    assert images_of(workers) == [[[4, 5]], [[2, 3]], [[0, 1]]]
    clock.now = IMAGE_S
    workers[1].finish()
    submit(batcher, 6, 7)
    await all_has_run()
    assert images_of(workers) == [[[4, 5]], [[6, 7]], [[0, 1]]]
    for images in ((8, 9), (10, 11), (12, 13)):
        submit(batcher, *images)
        await all_has_run()
    assert images_of(workers) == [[[4, 5], [10, 11]], [[6, 7], [12, 13]], [[0, 1], [8, 9]]]
    await batcher.close()


@in_event_loop
async def test_a_worker_that_is_lost_is_given_nothing_more() -> None:
    workers = [ManualWorker(capacity=2) for _ in range(2)]
    batcher = before(*workers)
    submit(batcher, *range(4))
    await all_has_run()
    batcher.lost(workers[1])  # and what it has is yet to fail
    submit(batcher, 4, 5)
    await all_has_run()
    assert images_of(workers) == [[[2, 3], [4, 5]], [[0, 1]]]
    await batcher.close()


@in_event_loop
async def test_nothing_is_handed_over_while_a_free_worker_waits_for_the_queue_delay() -> None:
    workers = [ManualWorker(capacity=2) for _ in range(2)]
    batcher = before(*workers, max_queue_delay_s=3600)
    submit(batcher, *range(8))  # as many as a batch ever has do not wait
    await all_has_run()
    assert images_of(workers) == [[], [[0, 1]]]
    await batcher.close()


@in_event_loop
async def test_a_deadline_counts_the_batch_before_and_what_it_leaves_no_time_for_is_not_handed_over() -> None:
    for interactive, handed_over in ((2, []), (3, [[4]])):
        clock, worker = ManualClock(), ManualWorker(capacity=2)
        batcher = before(worker, clock=clock)
        submit(batcher, 0, 1)
        (tight,) = submit(batcher, 5, deadline=4.55 * IMAGE_S, priority=Priority.BULK)
        await all_has_run()
        clock.now = 1.95 * IMAGE_S
        submit(batcher, *range(2, 2 + interactive))
        submit(batcher, 7, priority=Priority.BULK)
        worker.finish()
        await all_has_run()
        assert worker.images == [[2, 3], *handed_over]
        clock.now = 2.5 * IMAGE_S  # sooner than was foreseen
        for _ in worker.images:
            worker.finish()
        await all_has_run()
        assert worker.images[0][0] == 5
        worker.finish()
        assert values([await tight]) == [5]
        await batcher.close()


@in_event_loop
async def test_the_wait_that_is_foreseen_counts_what_is_in_hand() -> None:
    clock, worker = ManualClock(), ManualWorker(capacity=2)
    batcher = before(worker, clock=clock)
    submit(batcher, *range(4))
    await all_has_run()
    assert batcher.wait_s() == pytest.approx((2 + 2 + 1) * IMAGE_S)
    clock.now = IMAGE_S
    assert batcher.wait_s() == pytest.approx((1 + 2 + 1) * IMAGE_S)
    worker.finish()
    assert batcher.wait_s() == pytest.approx((2 + 1) * IMAGE_S)
    await batcher.close()


@in_event_loop
async def test_an_image_waits_until_its_batch_begins() -> None:
    clock, worker = ManualClock(), ManualWorker(capacity=2)
    batcher = before(worker, clock=clock)
    answers = submit(batcher, *range(4))
    await all_has_run()
    clock.now = 0.25
    worker.finish()
    worker.finish()
    waits = [answer.queue_s for answer in await asyncio.gather(*answers)]
    assert waits == [0, 0, 0.25, 0.25]
    await batcher.close()


@in_event_loop
async def test_what_was_in_the_hand_of_a_worker_that_died_is_computed_without_suspicion() -> None:
    worker = ManualWorker(capacity=2)
    batcher = before(worker)
    answers = submit(batcher, *range(5))
    await all_has_run()
    worker.die(WorkerDied("killed"))
    worker.come_back()
    await all_has_run()
    assert worker.images == [[0], [1]]  # by themselves, for one of them may have done it
    worker.finish()
    worker.finish()
    await all_has_run()
    assert worker.images == [[2, 3]]
    worker.finish()
    await all_has_run()
    worker.finish()
    assert values(await asyncio.gather(*answers)) == list(range(5))
    await batcher.close()


@in_event_loop
async def test_a_suspect_in_hand_is_not_the_one_that_killed_the_worker() -> None:
    worker = ManualWorker(capacity=2)
    batcher = before(worker)
    answers = submit(batcher, *range(3))
    await all_has_run()
    for _ in range(2):
        worker.die(WorkerDied("killed"))
        worker.come_back()
        await all_has_run()
    worker.finish()
    await all_has_run()
    worker.finish()
    with pytest.raises(ComputeFailed):
        await answers[0]
    assert values(await asyncio.gather(*answers[1:])) == [1, 2]
    await batcher.close()


@in_event_loop
async def test_a_batch_that_fails_takes_the_one_in_hand_not_with_it() -> None:
    worker = ManualWorker(capacity=2)
    batcher = before(worker)
    answers = submit(batcher, *range(4))
    await all_has_run()
    worker.fail(RuntimeError("out of memory"))
    worker.finish()
    for answer in answers[:2]:
        with pytest.raises(ComputeFailed):
            await answer
    assert values(await asyncio.gather(*answers[2:])) == [2, 3]
    await batcher.close()
