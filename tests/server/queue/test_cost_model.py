import math

import numpy as np
import pytest

from server.queue.batch_policy import MANY, MEMORY_S, CostModel
from tests.server.manual_clock import ManualClock


def test_a_line_through_the_warm_up_predicts_other_sizes() -> None:
    costs = CostModel([(1, 0.012), (2, 0.022), (4, 0.042)])
    assert costs.predict_s(8) == pytest.approx(0.082)
    assert costs.images_within(0.062) == 6


def test_batches_of_one_size_are_taken_as_proportional() -> None:
    costs = CostModel()
    costs.observe(4, 0.04)
    costs.observe(4, 0.04)
    assert costs.predict_s(8) == pytest.approx(0.08)


def test_new_batches_outweigh_the_warm_up() -> None:
    costs = CostModel([(1, 0.01), (2, 0.02)], clock=ManualClock())
    for _ in range(200):
        costs.observe(1, 0.03)
        costs.observe(2, 0.06)
    assert costs.predict_s(1) == pytest.approx(0.03, rel=0.05)


def test_the_warm_up_returns_when_nothing_is_computed() -> None:
    clock = ManualClock()
    costs = CostModel([(1, 0.01), (2, 0.02)], clock=clock)
    costs.observe(1, 60.0)
    assert costs.predict_s(1) > 5
    clock.now = 20 * MEMORY_S
    assert costs.predict_s(1) == pytest.approx(0.01, rel=0.01)


def test_a_batch_counts_less_by_a_factor_of_e_after_three_seconds() -> None:
    clock = ManualClock()
    costs = CostModel([(1, 0.1)], clock=clock)
    costs.observe(1, 1.1)
    assert costs.predict_s(1) == pytest.approx(0.6)
    clock.now = 3.0
    assert costs.predict_s(1) == pytest.approx((0.1 + 1.1 / math.e) / (1 + 1 / math.e))


def test_each_batch_is_forgotten_by_the_time_since_it_was_computed() -> None:
    clock = ManualClock()
    costs = CostModel(clock=clock)
    batches = {0.0: 0.01, MEMORY_S: 0.03, 2 * MEMORY_S: 0.05}
    for clock.now, seconds in batches.items():
        costs.observe(1, seconds)
    weights = [math.exp((computed - clock.now) / MEMORY_S) for computed in batches]
    assert costs.predict_s(1) == pytest.approx(np.average([*batches.values()], weights=weights))


def test_the_line_is_the_best_through_batches_of_different_weight() -> None:
    clock = ManualClock()
    costs = CostModel([(1, 0.02), (4, 0.05)], clock=clock)
    costs.observe(8, 0.12)
    costs.observe(2, 0.05)
    clock.now = 1.5
    left = math.exp(-1.5 / MEMORY_S)
    slope, intercept = np.polyfit([1, 4, 8, 2], [0.02, 0.05, 0.12, 0.05], 1, w=np.sqrt([1, 1, left, left]))
    assert costs.predict_s(5) == pytest.approx(5 * slope + intercept)


def test_without_a_batch_the_fit_is_renewed_once_a_second() -> None:
    clock = ManualClock()
    costs = CostModel([(1, 0.1)], clock=clock)
    costs.observe(1, 1.1)
    clock.now = 1.0
    assert costs.predict_s(1) == pytest.approx(0.6)
    clock.now = 1.1
    assert costs.predict_s(1) < 0.55


def test_at_least_one_image_is_within_any_time_and_no_more_than_many() -> None:
    costs = CostModel([(1, 0.01), (2, 0.02)])
    assert costs.images_within(0.001) == 1
    assert costs.images_within(math.inf) == MANY


def test_a_line_never_goes_below_zero() -> None:
    falling = CostModel([(1, 0.04), (4, 0.01)])
    assert falling.predict_s(100) == pytest.approx(0.025)
    steep = CostModel([(1, 0.001), (4, 0.1)])  # the best line through 0: 0.401 s / 17 an image
    assert steep.predict_s(1) == pytest.approx(0.0236, rel=0.01)


def test_nothing_seen_promises_nothing() -> None:
    costs = CostModel()
    assert costs.predict_s(5) == 0
    assert costs.images_within(0.01) == MANY
