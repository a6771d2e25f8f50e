"""What is foreseen, in seconds on a clock that stands still: a batch of n images takes 10 ms * n + 10 ms."""

import asyncio

import pytest

from server.errors import DeadlinePassed
from server.queue.batch_policy import BatchLimits, BatchPolicy, CostModel
from server.queue.priorities import Item, Priority, PriorityQueue
from server.queue.worker import Batch
from tests.server.event_loop import in_event_loop
from tests.server.manual_clock import ManualClock

NOW = 100.0
WARM_UP = ((1, 0.02), (4, 0.05))


def policy(limits: BatchLimits, least_s: float = 0.0) -> BatchPolicy:
    clock = ManualClock()
    clock.now = NOW
    return BatchPolicy(limits, CostModel(WARM_UP, least_s, clock), clock)


def batch(remaining_s: float) -> Batch[str]:
    return Batch([], is_alone=False, expected_s=5.0, started=NOW + remaining_s - 5.0)


def queue_of(*images: tuple[float, float | None]) -> PriorityQueue[str]:
    """Of the arrivals and deadlines."""
    queue: PriorityQueue[str] = PriorityQueue()
    for arrived, deadline in images:
        queue.put(Item("", Priority.BULK, deadline, asyncio.get_running_loop().create_future(), arrived))
    return queue


def test_limits_that_say_only_a_size_ask_for_one_batch_at_a_time_without_delay() -> None:
    assert policy(BatchLimits(16)).batch_limit() == 16
    assert policy(BatchLimits(16)).wait_s([batch(0.5)], ahead=0) == pytest.approx(0.52)
    assert BatchLimits(16).max_queue_delay_s == 0


def test_a_batch_is_as_large_as_takes_long_enough_or_as_the_model_gains_by() -> None:
    assert policy(BatchLimits(16, target_batch_s=0.065)).batch_limit() == 5
    assert policy(BatchLimits(16, target_batch_s=0.065, min_efficient_batch=8)).batch_limit() == 8
    assert policy(BatchLimits(4, target_batch_s=0.065, min_efficient_batch=8)).batch_limit() == 4


def test_a_batch_has_no_few_images_more_than_the_model_is_fast_on() -> None:
    """It would run on those by themselves; 12 fit into the time."""
    for fast_on, limit in ((1, 12), (2, 12), (4, 12), (8, 8)):
        limits = BatchLimits(16, target_batch_s=0.135, min_efficient_batch=fast_on)
        assert policy(limits).batch_limit() == limit
    for largest, limit in ((7, 4), (3, 3)):  # the size that was asked for is no multiple either
        limits = BatchLimits(largest, target_batch_s=0.135, min_efficient_batch=4)
        assert policy(limits).batch_limit() == limit


def test_the_wait_is_the_first_worker_to_be_free_and_the_images_ahead_and_ones_own_batch() -> None:
    two = policy(BatchLimits(8, concurrency=2))
    assert two.wait_s([], ahead=0) == pytest.approx(0.02)
    assert two.wait_s([batch(0.3)], ahead=0) == pytest.approx(0.02)
    assert two.wait_s([batch(0.3), batch(0.1)], ahead=0) == pytest.approx(0.12)
    assert two.wait_s([batch(-1.0), batch(0.1)], ahead=0) == pytest.approx(0.02)
    assert two.wait_s([batch(0.3), batch(0.1)], ahead=16) == pytest.approx(0.12 + 16 * 0.09 / 8 / 2)


def test_what_would_take_two_thirds_of_the_time_left_is_refused() -> None:
    one = policy(BatchLimits(8))
    one.check_deadline(NOW + 1.5 * 0.02 + 0.001, [], ahead=0)
    with pytest.raises(DeadlinePassed, match=r"would take 30\.0 ms, but 29\.0 ms are left") as late:
        one.check_deadline(NOW + 1.5 * 0.02 - 0.001, [], ahead=0)
    assert late.value.left_s == pytest.approx(0.029)


def test_before_an_idle_worker_only_the_fastest_time_counts() -> None:
    one = policy(BatchLimits(8), least_s=0.004)
    one.check_deadline(NOW + 0.005, [], ahead=None)
    with pytest.raises(DeadlinePassed, match="would take 4"):
        one.check_deadline(NOW + 0.003, [], ahead=None)
    with pytest.raises(DeadlinePassed, match="passed before the image could be queued"):
        policy(BatchLimits(8)).check_deadline(NOW, [], ahead=None)


def test_an_image_is_late_when_a_batch_of_its_own_would_end_after_its_deadline() -> None:
    one = policy(BatchLimits(8), least_s=0.004)
    assert [one.is_late(NOW, NOW + left, is_lone=False) for left in (0.019, 0.021)] == [True, False]
    assert [one.is_late(NOW, NOW + left, is_lone=True) for left in (0.003, 0.005)] == [True, False]
    assert policy(BatchLimits(8)).is_late(NOW, NOW, is_lone=True)


@in_event_loop
async def test_a_batch_is_due_after_the_delay_of_its_oldest_image_or_in_time_for_its_earliest_deadline() -> (
    None
):
    one = policy(BatchLimits(8, max_queue_delay_s=0.5))
    assert one.due(queue_of((NOW - 0.2, None), (NOW, None))) == pytest.approx(NOW + 0.3)
    in_time = queue_of((NOW, NOW + 0.4), (NOW, NOW + 0.2), (NOW, None))
    assert one.due(in_time) == pytest.approx(NOW + 0.2 - 1.5 * 0.04)
