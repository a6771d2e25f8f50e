import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import ComputeFailed, DeadlinePassed, Draining, NoModelReady
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.batcher import Batcher
from server.queue.priorities import Priority
from server.queue.worker import ThreadWorker, WorkerDied
from tests.server.event_loop import all_has_run, in_event_loop
from tests.server.gated_model import GatedModel, batcher_of, busy, queued, submit, values
from tests.server.manual_clock import ManualClock
from tests.server.manual_worker import ManualWorker


@in_event_loop
async def test_lone_image_does_not_wait_for_others() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    first = await busy(model, batcher)
    model.let_through()
    assert (await first).batch_size == 1
    await batcher.close()


@in_event_loop
async def test_next_batch_forms_while_the_model_is_busy() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    await busy(model, batcher)
    answers = submit(batcher, 1, 2, 3)
    model.let_through()
    assert values(await asyncio.gather(*answers)) == [1, 2, 3]
    assert model.batches == [[0], [1, 2, 3]]
    await batcher.close()


@in_event_loop
async def test_batch_is_never_larger_than_max_batch_size() -> None:
    model = GatedModel()
    batcher = batcher_of(model, 4)
    await busy(model, batcher)
    answers = submit(batcher, *range(1, 7))
    model.let_through()
    await asyncio.gather(*answers)
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]
    await batcher.close()


@in_event_loop
async def test_batch_is_no_larger_than_takes_long_enough() -> None:
    model = GatedModel()
    model.seconds = 0.003
    batcher = batcher_of(model, 16, costs=CostModel([(1, 0.003), (2, 0.006)]), target_batch_s=0.010)
    await busy(model, batcher)
    answers = submit(batcher, *range(1, 8))
    model.let_through()
    await asyncio.gather(*answers)
    assert model.batches[:2] == [[0], [1, 2, 3]]
    await batcher.close()


@in_event_loop
async def test_batch_may_be_as_large_as_the_model_gains_by_however_long_it_takes() -> None:
    model = GatedModel()
    model.seconds = 1.0
    batcher = batcher_of(
        model, 16, costs=CostModel([(1, 1.0), (2, 1.8)]), target_batch_s=0.010, min_efficient_batch=4
    )
    first = await busy(model, batcher)
    answers = submit(batcher, *range(1, 7))
    await queued(batcher, 6)
    model.let_through()
    await asyncio.gather(first, *answers)
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]
    await batcher.close()


@in_event_loop
async def test_workers_compute_side_by_side_and_share_what_there_is() -> None:
    model = GatedModel()
    batcher = batcher_of(model, 8, concurrency=2)
    answers = submit(batcher, 1, 2, 3, 4)
    await model.started()
    await model.started()
    assert sorted(model.batches) == [[1, 2], [3, 4]]
    model.let_through()
    assert values(await asyncio.gather(*answers)) == [1, 2, 3, 4]
    await batcher.close()


@in_event_loop
async def test_only_full_batches_are_handed_over_ahead() -> None:
    model = GatedModel()
    batcher = batcher_of(model, 2, prefetch=1)
    first = await busy(model, batcher)
    answers = submit(batcher, 1)
    await queued(batcher, 1)
    assert model.batches == [[0]]
    answers += submit(batcher, 2)
    await model.started()
    assert model.batches == [[0], [1, 2]]
    answers += submit(batcher, 3, 4)
    await queued(batcher, 2)  # no worker is free for what now is a full batch
    model.let_through()
    assert values(await asyncio.gather(first, *answers)) == [0, 1, 2, 3, 4]
    await batcher.close()


@in_event_loop
async def test_model_is_told_of_an_image_that_has_the_server_for_itself() -> None:
    model = GatedModel()
    batcher = batcher_of(model, concurrency=2)
    first = await busy(model, batcher)
    answers = submit(batcher, 1)
    await model.started()
    model.let_through()
    await asyncio.gather(first, *answers)
    await asyncio.gather(*submit(batcher, 2, 3))
    await asyncio.gather(*submit(batcher, 4))
    assert model.alone == [True, False, False, False, True]
    await batcher.close()


@in_event_loop
async def test_a_lone_image_goes_to_the_first_worker_which_takes_all_cores() -> None:
    models = [GatedModel() for _ in range(3)]
    batcher = Batcher([ThreadWorker(model) for model in models], BatchLimits(4, concurrency=3))
    first = await busy(models[0], batcher)
    others = submit(batcher, 1, 2)
    await models[1].started()
    await models[2].started()
    for model in models:
        model.let_through()
    await asyncio.gather(first, *others)
    await asyncio.gather(*submit(batcher, 3))
    assert models[0].batches == [[0], [3]]
    batcher.lost(batcher.workers[0])
    assert values(await asyncio.gather(*submit(batcher, 4))) == [4]  # another does what it can
    assert models[0].batches == [[0], [3]]
    await batcher.close()


@in_event_loop
async def test_images_that_failed_are_not_in_the_batch_that_is_told_of() -> None:
    model, reports = GatedModel(), list[tuple[int, float]]()
    model.bad, model.seconds = {1, 4, 5}, 0.5
    batcher = batcher_of(model, on_batch=lambda images, compute_s: reports.append((images, compute_s)))
    answers = [await busy(model, batcher), *submit(batcher, 1, 2, 3, 4)]
    await queued(batcher, 4)
    model.let_through()
    await asyncio.gather(*answers, return_exceptions=True)
    await asyncio.gather(*submit(batcher, 5), return_exceptions=True)
    assert model.batches == [[0], [1, 2, 3, 4], [5]]
    assert reports == [(1, 0.5), (2, 0.5)]
    await batcher.close()


@in_event_loop
async def test_what_a_batch_that_is_not_typical_takes_is_not_learnt_from() -> None:
    model, clock = GatedModel(), ManualClock()
    model.let_through()
    costs = CostModel([(1, 1.0)], clock=clock)
    batcher = batcher_of(model, costs=costs, clock=clock)
    model.seconds, model.is_typical = 60.0, False
    await asyncio.gather(*submit(batcher, 1))
    assert costs.predict_s(1) == 1.0
    model.seconds, model.is_typical = 3.0, True
    await asyncio.gather(*submit(batcher, 2))
    assert costs.predict_s(1) == 2.0
    await batcher.close()


@in_event_loop
async def test_cancelled_image_is_never_computed() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    await busy(model, batcher)
    answers = submit(batcher, 1, 2, 3, 4, 5)
    await queued(batcher, 5)
    answers[1].cancel()
    answers[4].cancel()
    await asyncio.wait([answers[1], answers[4]])
    assert batcher.queued == 3
    model.let_through()
    assert values(await asyncio.gather(answers[0], *answers[2:4])) == [1, 3, 4]
    assert model.batches == [[0], [1, 3, 4]]
    await batcher.close()


@in_event_loop
async def test_image_whose_deadline_has_passed_is_refused_while_the_model_is_busy() -> None:
    model, clock = GatedModel(), ManualClock()
    batcher = batcher_of(model, clock=clock)
    first = await busy(model, batcher)
    clock.now = 5.0
    (late,) = submit(batcher, 1, deadline=5.0)
    with pytest.raises(DeadlinePassed):
        await late
    model.let_through()
    await first
    assert model.batches == [[0]]
    await batcher.close()


@in_event_loop
async def test_image_whose_deadline_passes_in_the_queue_is_never_computed() -> None:
    model, clock = GatedModel(), ManualClock()
    batcher = batcher_of(model, clock=clock)
    await busy(model, batcher)
    (late,), (timely,) = submit(batcher, 1, deadline=5.0), submit(batcher, 2, deadline=5.1)
    await queued(batcher, 2)
    clock.now = 5.0
    model.let_through()
    with pytest.raises(DeadlinePassed):
        await late
    await timely
    assert model.batches == [[0], [2]]
    await batcher.close()


@in_event_loop
async def test_image_whose_deadline_passed_does_not_end_the_batch_of_others() -> None:
    model, clock = GatedModel(), ManualClock()
    batcher = batcher_of(model, clock=clock)
    await busy(model, batcher)
    answers = [*submit(batcher, 1), *submit(batcher, 2, deadline=5.0), *submit(batcher, 3)]
    await queued(batcher, 3)
    clock.now = 5.0
    model.let_through()
    await asyncio.gather(*answers, return_exceptions=True)
    assert model.batches == [[0], [1, 3]]
    await batcher.close()


@in_event_loop
async def test_of_images_that_would_be_late_the_last_is_tried_as_it_has_the_server_for_itself() -> None:
    model, clock = GatedModel(), ManualClock()
    costs = CostModel([(1, 1.0)], 1.0, clock)
    batcher = batcher_of(model, costs=costs, clock=clock)
    await busy(model, batcher)
    late, last = submit(batcher, 1, 2, deadline=6.0)
    await queued(batcher, 2)
    costs.observe(1, 100.0)
    model.let_through()
    with pytest.raises(DeadlinePassed):
        await late
    assert values([await last]) == [2]
    assert model.batches == [[0], [2]]
    await batcher.close()


@in_event_loop
async def test_image_that_cannot_be_ready_by_its_deadline_is_refused_at_once() -> None:
    model, clock = GatedModel(), ManualClock()
    batcher = batcher_of(model, 1, costs=CostModel([(1, 10.0)], 10.0, clock), clock=clock)
    first = await busy(model, batcher)
    clock.now = 4.0
    answers = submit(batcher, 1, 2)
    await queued(batcher, 2)
    # 6 s of the batch that runs, 20 s of the queue and 10 s of its own, times the safety factor.
    with pytest.raises(DeadlinePassed, match=r"would take 54000\.0 ms, but 53000\.0 ms are left"):
        await submit(batcher, 3, deadline=57.0)[0]
    answers += submit(batcher, 4, deadline=58.5)
    model.let_through()
    await asyncio.gather(first, *answers)
    assert model.batches == [[0], [1], [2], [4]]
    await batcher.close()


@in_event_loop
async def test_running_batches_count_in_the_wait_that_is_foreseen() -> None:
    model, clock = GatedModel(), ManualClock()
    batcher = batcher_of(model, 1, concurrency=2, costs=CostModel([(1, 10.0)], clock=clock), clock=clock)
    waits = [batcher.wait_s()]
    answers = [await busy(model, batcher)]
    waits.append(batcher.wait_s())  # there is room for another batch
    clock.now = 3.0
    answers.append(await busy(model, batcher))
    waits.append(batcher.wait_s())
    clock.now = 6.0
    waits.append(batcher.wait_s())
    clock.now = 11.0  # the first takes longer than was expected
    waits.append(batcher.wait_s())
    answers += submit(batcher, 1)
    await queued(batcher, 1)
    waits.append(batcher.wait_s())  # the one in the queue is shared by two
    assert waits == pytest.approx([10.0, 10.0, 17.0, 14.0, 10.0, 15.0])
    model.let_through()
    await asyncio.gather(*answers)
    await batcher.close()


@in_event_loop
async def test_idle_model_is_tried_though_batches_were_slow_lately() -> None:
    model, clock = GatedModel(), ManualClock()
    model.let_through()
    model.seconds = 100.0
    batcher = batcher_of(model, costs=CostModel([(1, 0.01)], 0.01, clock), clock=clock)
    await asyncio.gather(*submit(batcher, 0))
    assert batcher.wait_s() > 5
    assert values(await asyncio.gather(*submit(batcher, 1, deadline=5.0))) == [1]
    await batcher.close()


@in_event_loop
async def test_image_that_even_an_idle_model_cannot_make_is_refused() -> None:
    model, clock = GatedModel(), ManualClock()
    batcher = batcher_of(model, costs=CostModel([(1, 10.0)], 5.0, clock), clock=clock)
    with pytest.raises(DeadlinePassed, match=r"would take 5000\.0 ms"):
        await batcher.classify(1, 4.9)
    assert model.batches == []
    await batcher.close()


@in_event_loop
async def test_batch_is_no_larger_than_its_earliest_deadline_allows() -> None:
    model, clock = GatedModel(), ManualClock()
    model.seconds = 10.0
    batcher = batcher_of(model, 8, costs=CostModel([(1, 10.0), (2, 20.0)], clock=clock), clock=clock)
    first = await busy(model, batcher)
    answers = submit(batcher, 1, deadline=39.0) + submit(batcher, 2, 3, 4)
    await queued(batcher, 4)
    model.let_through()
    await asyncio.gather(first, *answers)
    assert model.batches == [[0], [1, 2, 3], [4]]
    await batcher.close()


@in_event_loop
async def test_interactive_images_go_before_bulk_ones() -> None:
    model = GatedModel()
    batcher = batcher_of(model, 2)
    first = await busy(model, batcher)
    bulk = submit(batcher, 11, 12, 13, priority=Priority.BULK)
    await queued(batcher, 3)
    interactive = submit(batcher, 1, 2, 3)
    await queued(batcher, 6)
    model.let_through()
    await asyncio.gather(first, *bulk, *interactive)
    assert model.batches == [[0], [1, 2], [3, 11], [12, 13]]
    await batcher.close()


@in_event_loop
async def test_bulk_images_do_not_starve() -> None:
    model = GatedModel()
    batcher = batcher_of(model, 1)
    first = await busy(model, batcher)
    answers = submit(batcher, 100, 101, priority=Priority.BULK) + submit(batcher, *range(1, 21))
    await queued(batcher, 22)
    model.let_through()
    await asyncio.gather(first, *answers)
    order = [number for batch in model.batches for number in batch]
    assert order.index(100) <= 8
    assert order.index(101) <= 16
    await batcher.close()


@in_event_loop
async def test_bad_image_spoils_only_itself() -> None:
    model = GatedModel()
    model.bad = {2}
    batcher = batcher_of(model)
    first = await busy(model, batcher)
    answers = submit(batcher, 1, 2, 3)
    model.let_through()
    await first
    assert values([await answers[0], await answers[2]]) == [1, 3]
    with pytest.raises(ValueError, match="bad"):
        await answers[1]
    assert model.batches == [[0], [1, 2, 3]]
    await batcher.close()


@in_event_loop
async def test_failing_model_fails_its_batch_and_answers_the_next() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    first = await busy(model, batcher)
    model.failures = [RuntimeError("out of memory")]
    next_one = submit(batcher, 1)
    model.let_through()
    with pytest.raises(ComputeFailed, match="out of memory") as failed:
        await first
    assert isinstance(failed.value.__cause__, RuntimeError)  # whose traceback is in the log
    assert values(await asyncio.gather(*next_one)) == [1]
    await batcher.close()


@in_event_loop
async def test_images_of_a_worker_that_died_are_tried_again_one_by_one() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    first = await busy(model, batcher)
    answers = submit(batcher, 1, 2, 3)
    await queued(batcher, 3)
    model.let_through(1)
    await first
    await model.started()
    model.failures = [WorkerDied("again"), WorkerDied("killed")]
    answers += submit(batcher, 4)
    model.let_through(1)  # the three together
    await model.started()
    model.let_through(1)  # the first of them, alone
    with pytest.raises(ComputeFailed, match="again"):
        await answers[0]
    model.let_through()
    assert values(await asyncio.gather(*answers[1:])) == [2, 3, 4]
    assert model.batches == [[0], [1, 2, 3], [1], [2], [3], [4]]
    await batcher.close()


@in_event_loop
async def test_lone_image_of_a_worker_that_died_is_tried_again_once() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    first = await busy(model, batcher)
    model.failures = [WorkerDied("killed")]
    model.let_through(1)
    await model.started()
    model.let_through(1)
    assert values([await first]) == [0]
    (second,) = submit(batcher, 1)
    await model.started()
    model.failures = [WorkerDied("again"), WorkerDied("killed")]
    model.let_through()
    with pytest.raises(ComputeFailed, match="again"):
        await second
    assert model.batches == [[0], [0], [1], [1]]
    await batcher.close()


@in_event_loop
async def test_without_any_worker_images_are_refused_at_once() -> None:
    model = GatedModel()
    batcher = batcher_of(model, concurrency=2)
    workers = list(batcher.workers)
    batcher.lost(workers[0])
    model.let_through()
    assert values(await asyncio.gather(*submit(batcher, 1))) == [1]
    batcher.lost(workers[1])
    with pytest.raises(NoModelReady):
        await batcher.classify(2)
    batcher.available(workers[1])
    assert values(await asyncio.gather(*submit(batcher, 3))) == [3]
    await batcher.close()


@in_event_loop
async def test_images_wait_for_a_worker_that_is_expected_back_where_they_are_to() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    (worker,) = batcher.workers
    batcher.waits_for_workers = True
    model.let_through()
    batcher.lost(worker)
    waiting = submit(batcher, 1)
    await queued(batcher, 1)
    batcher.available(worker)
    assert values(await asyncio.gather(*waiting)) == [1]
    batcher.lost(worker, "it does not start")
    with pytest.raises(NoModelReady, match="it does not start"):
        await batcher.classify(2)
    await batcher.close()


@in_event_loop
async def test_whether_there_is_a_worker_is_told_when_it_changes() -> None:
    batcher = batcher_of(GatedModel(), concurrency=2)
    first, second = batcher.workers
    reports: list[bool] = []
    batcher.on_workers_changed = lambda: reports.append(batcher.has_workers)
    batcher.lost(first)
    assert reports == []
    batcher.lost(second)
    assert reports == [False]
    batcher.available(second)
    assert reports == [False, True]
    batcher.available(first)
    assert reports == [False, True]
    await batcher.close()


@in_event_loop
async def test_queue_delay_ends_in_time_for_the_earliest_deadline() -> None:
    model, clock = GatedModel(), ManualClock()
    model.let_through()
    costs = CostModel([(1, 0.001)], 0.001, clock)
    batcher = batcher_of(model, costs=costs, max_queue_delay_s=3600, clock=clock)
    answers = submit(batcher, 1) + submit(batcher, 2, deadline=0.010)
    await queued(batcher, 2)
    clock.now = 0.0069  # the two take 2 ms, with SAFETY_FACTOR 3
    await all_has_run()
    assert batcher.queued == 2
    clock.now = 0.0071
    assert values(await asyncio.gather(*answers)) == [1, 2]
    assert model.batches == [[1, 2]]
    await batcher.close()


@in_event_loop
async def test_queue_delay_waits_for_more_images() -> None:
    model, clock = GatedModel(), ManualClock()
    model.let_through()
    batcher = batcher_of(model, max_queue_delay_s=0.001, clock=clock)
    answers = submit(batcher, 1)
    await queued(batcher, 1)
    clock.now = 0.0009
    answers += submit(batcher, 2)
    await all_has_run()
    assert batcher.queued == 2
    clock.now = 0.001  # since the first came
    assert [answer.queue_s for answer in await asyncio.gather(*answers)] == pytest.approx([0.001, 0.0001])
    assert model.batches == [[1, 2]]
    await batcher.close()


@in_event_loop
async def test_queue_delay_ends_by_itself() -> None:
    model = GatedModel()
    model.let_through()
    batcher = batcher_of(model, max_queue_delay_s=0.001)
    assert values(await asyncio.gather(*submit(batcher, 1))) == [1]
    await batcher.close()


@in_event_loop
async def test_images_of_a_worker_that_died_go_to_one_that_is_free() -> None:
    first, second = ManualWorker(), ManualWorker()
    batcher = Batcher([first, second], BatchLimits(4, concurrency=2))
    (answer,) = submit(batcher, 1)
    await all_has_run()
    assert first.images == [[1]]
    first.die(WorkerDied("killed"))
    await all_has_run()
    assert second.images == [[1]]
    second.finish()
    assert values([await answer]) == [1]
    await batcher.close()


@in_event_loop
async def test_full_batch_does_not_wait_for_the_queue_delay() -> None:
    model = GatedModel()
    model.let_through()
    batcher = batcher_of(model, 2, max_queue_delay_s=3600)
    assert values(await asyncio.gather(*submit(batcher, 1, 2))) == [1, 2]
    await batcher.close()


@in_event_loop
async def test_images_that_wait_and_that_are_computed_are_counted() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    first = await busy(model, batcher)
    answers = submit(batcher, *range(1, 7))
    await queued(batcher, 6)
    assert batcher.running == 1
    model.let_through()
    await asyncio.gather(first, *answers)
    assert (batcher.queued, batcher.running) == (0, 0)
    await batcher.close()


@in_event_loop
async def test_closing_refuses_what_is_queued_and_waits_for_nothing() -> None:
    model = GatedModel()
    batcher = batcher_of(model)
    first = await busy(model, batcher)
    (waiting,) = submit(batcher, 1)
    await queued(batcher, 1)
    await batcher.close()
    with pytest.raises(Draining):
        await waiting
    model.let_through()
    assert (await first).batch_size == 1
    with pytest.raises(Draining):
        await batcher.classify(2)


@settings(max_examples=20, deadline=None)
@given(
    max_batch_size=st.integers(1, 9),
    concurrency=st.integers(1, 3),
    bad=st.sampled_from([0.0, 0.1, 1.0]),
    cancelled=st.sampled_from([0.0, 0.2, 0.9]),
    burst=st.sampled_from([1, 10, 500]),
    seed=st.integers(0, 2**32),
)
def test_every_answer_is_its_own_images_among_thousands(
    max_batch_size: int, concurrency: int, bad: float, cancelled: float, burst: int, seed: int
) -> None:
    """20 x 500 requests of either priority, some of them bad or cancelled, in bursts."""
    chance = random.Random(seed)
    model = GatedModel()
    model.let_through()
    model.bad = {number for number in range(500) if chance.random() < bad}
    to_cancel = {number for number in range(500) if chance.random() < cancelled}

    @in_event_loop
    async def run() -> None:
        batcher = batcher_of(model, max_batch_size, concurrency=concurrency)
        tasks = []
        for number in range(500):
            tasks += submit(batcher, number, priority=chance.choice(list(Priority)))
            if number % burst == 0:
                await asyncio.sleep(0)
            if number in to_cancel:
                chance.choice(tasks).cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await batcher.close()
        for number, result in enumerate(results):
            if isinstance(result, BaseException):
                assert isinstance(result, asyncio.CancelledError) or number in model.bad
            else:
                assert result.row.tolist() == [number]

    run()
    computed = [number for batch in model.batches for number in batch]
    assert len(computed) == len(set(computed))
    assert max(map(len, model.batches), default=0) <= max_batch_size
    if not to_cancel:
        assert sorted(computed) == list(range(500))


@in_event_loop
async def test_an_image_that_is_given_up_ends_when_no_worker_has_it_and_is_not_tried_again() -> None:
    worker = ManualWorker()
    batcher = Batcher([worker], BatchLimits(max_batch_size=2))
    computed, lost, waits = (batcher.put(number) for number in range(3))
    await all_has_run()
    for item in (computed, lost, waits):
        batcher.give_up(item)
    assert waits.answer.cancelled()
    assert batcher.queued == 0
    assert not computed.answer.done()
    assert not lost.answer.done()
    worker.die(WorkerDied("killed"))
    worker.come_back()
    await all_has_run()
    assert lost.answer.cancelled()
    assert worker.images == []


@in_event_loop
async def test_a_core_is_spare_unless_an_image_takes_all_or_every_worker_is_busy() -> None:
    workers = [ManualWorker() for _ in range(3)]
    batcher = Batcher(workers, BatchLimits(1, concurrency=3))
    seen = [batcher.is_spare]
    answers = submit(batcher, 0)
    await all_has_run()
    seen.append(batcher.is_spare)  # it takes all cores
    answers += submit(batcher, 1)
    await all_has_run()
    workers[0].finish()
    await all_has_run()
    seen.append(batcher.is_spare)  # two of three
    answers += submit(batcher, 2, 3)
    await all_has_run()
    assert [*seen, batcher.is_spare] == [True, False, True, False]
    for worker in workers:
        worker.finish()
    await asyncio.gather(*answers)
    await batcher.close()


@in_event_loop
async def test_no_core_is_spare_while_an_image_waits() -> None:
    batcher = Batcher([ManualWorker(), ManualWorker()], BatchLimits(2, 2, max_queue_delay_s=60))
    (answer,) = submit(batcher, 0)
    await all_has_run()
    assert (batcher.queued, batcher.is_spare) == (1, False)
    await batcher.close()
    assert isinstance((await asyncio.gather(answer, return_exceptions=True))[0], Draining)
