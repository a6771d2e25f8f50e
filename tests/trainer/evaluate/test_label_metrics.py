"""Figures of several labels an image, and the temperatures and thresholds that are chosen by them."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fovea.model.task import NEVER_SELECTED, ThresholdRule, selected
from trainer.evaluate.label_calibration import calibrate_labels, choose_threshold
from trainer.evaluate.label_metrics import (
    average_precision,
    decisions_ece,
    label_losses,
    mean_average_precision,
    measure_labels,
    sigmoid,
)

F1 = ThresholdRule(by="f1")
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], np.float32)
TARGETS = np.array([1, 1, 0, 1, 0, 0], np.int64)


def drawn(images: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Logits twice as large as they should be, and truths drawn by them: [n, 3]."""
    random = np.random.default_rng(0)
    logits = random.normal(-1, 1.5, (images, 3)).astype(np.float32)
    targets = (random.random((images, 3)) < sigmoid(logits)).astype(np.int64)
    return 2 * logits, targets


def test_average_precision_is_scikit_learns_with_equal_scores_too() -> None:
    logits, targets = drawn()
    for scores in (logits[:, 0], logits[:, 0].round()):
        assert average_precision(scores, targets[:, 0]) == pytest.approx(
            average_precision_score(targets[:, 0], scores)
        )


def test_labels_that_no_image_has_count_in_no_mean() -> None:
    probabilities = np.stack([SCORES, SCORES], 1)
    targets = np.stack([TARGETS, np.zeros_like(TARGETS)], 1)
    assert mean_average_precision(probabilities, targets) == average_precision(SCORES, TARGETS)
    metrics, scores = measure_labels(probabilities, targets, ("a", "b"), (0.55, 0.95))
    assert scores.macro_f1 == scores.per_label["a"].f1
    assert scores.per_label["b"].average_precision is None
    assert scores.per_label["b"].recall_interval is None
    assert metrics.accuracy == pytest.approx(5 / 6)


def test_each_label_is_measured_at_its_threshold() -> None:
    _, scores = measure_labels(SCORES[:, None], TARGETS[:, None], ("a",), (0.55,))
    row = scores.per_label["a"]
    assert (row.images, row.selected, row.right) == (3, 4, 3)
    assert (row.precision, row.recall) == (0.75, 1.0)
    assert row.f1 == pytest.approx(6 / 7)
    assert row.precision_interval is not None
    assert row.precision_interval[0] < 0.75 < row.precision_interval[1]
    assert scores.micro_f1 == pytest.approx(6 / 7)


def test_loss_is_the_mean_cross_entropy_of_decisions() -> None:
    metrics, _ = measure_labels(
        np.full((2, 2), 0.25, np.float32), np.array([[1, 0], [0, 0]]), ("a", "b"), (1, 1)
    )
    assert metrics.loss == pytest.approx((-math.log(0.25) - 3 * math.log(0.75)) / 4)
    assert metrics.ece == pytest.approx(0)


def test_a_threshold_by_f1_is_half_way_below_the_best() -> None:
    assert choose_threshold(SCORES, TARGETS, F1) == pytest.approx(0.55)


def test_a_threshold_by_precision_is_the_lowest_that_reaches_it() -> None:
    by = {t: ThresholdRule(by="precision", target_precision=t) for t in (1.0, 0.7, 0.5)}
    assert choose_threshold(SCORES, TARGETS, by[1.0]) == pytest.approx(0.75)
    assert choose_threshold(SCORES, TARGETS, by[0.7]) == pytest.approx(0.55)
    assert choose_threshold(SCORES, TARGETS, by[0.5]) == pytest.approx(0.2)
    assert choose_threshold(SCORES, 1 - TARGETS, by[0.7]) == NEVER_SELECTED


def selects(scores: list[float], targets: list[int], rule: ThresholdRule) -> list[int]:
    probabilities = np.array(scores, np.float32)
    threshold = choose_threshold(probabilities, np.array(targets), rule)
    chosen = selected(probabilities[:, None], (threshold,))[:, 0]
    return [int(each) for each in chosen]


def test_a_label_that_is_never_right_enough_is_not_selected_at_a_probability_of_1() -> None:
    rule = ThresholdRule(by="precision", target_precision=0.9)
    assert selects([1, 1, 0.5], [1, 0, 0], rule) == [0, 0, 0]


def test_a_threshold_selects_what_it_was_chosen_for_however_near_or_small_its_scores() -> None:
    rule = ThresholdRule(by="precision", target_precision=1.0)
    for by in (F1, rule):
        assert selects([0.90004, 0.90002, 0.9], [1, 0, 0], by) == [1, 0, 0]
        assert selects([4e-9, 3e-9, 1e-9], [1, 1, 0], by) == [1, 1, 0]
        assert selects([3e-45, 1.5e-45, 0], [1, 0, 0], by) == [1, 0, 0]
        assert selects([1, 0.5], [1, 0], by) == [1, 0]


def test_scores_that_rounding_may_exchange_are_taken_together() -> None:
    rule = ThresholdRule(by="precision", target_precision=1.0)
    assert selects([0.9999998, 0.9999997, 0.5], [1, 0, 0], rule) == [0, 0, 0]
    assert selects([0.9999998, 0.9999997, 0.5], [1, 0, 0], F1) == [1, 1, 0]
    assert choose_threshold(np.zeros(2, np.float32), np.array([1, 0]), F1) == 0.5


def test_a_label_that_no_image_has_keeps_one_half() -> None:
    assert choose_threshold(SCORES, np.zeros(6, np.int64), F1) == 0.5


def test_temperatures_undo_what_was_too_sure_and_leave_the_order() -> None:
    logits, targets = drawn(2000)
    calibration = calibrate_labels(logits, targets, F1)
    assert calibration.temperatures == pytest.approx((2, 2, 2), abs=0.4)
    assert calibration.ece_after < calibration.ece_before / 2
    probabilities = calibration.probabilities(logits)
    assert decisions_ece(probabilities, targets) == calibration.ece_after
    assert mean_average_precision(probabilities, targets) == mean_average_precision(sigmoid(logits), targets)
    assert selected(probabilities, calibration.thresholds).any(0).all()


def test_a_label_that_lies_apart_by_luck_is_not_made_surer_than_new_images_bear_out() -> None:
    def of_a_rare_label(images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        targets = (random.random((images, 1)) < 0.03).astype(np.int64)
        logits = random.normal(np.where(targets == 1, 3, -8), 3).astype(np.float32)
        return logits, targets

    new, truth = of_a_rare_label(8000, 99)
    before = label_losses(sigmoid(new), truth).mean()
    apart = 0
    for seed in range(12):
        logits, targets = of_a_rare_label(300, seed)
        apart += int(logits[targets == 1].min() > logits[targets == 0].max())
        calibration = calibrate_labels(logits, targets, F1)
        after = calibration.probabilities(new)
        assert label_losses(after, truth).mean() < 1.1 * before
        assert average_precision(after[:, 0], truth[:, 0]) == pytest.approx(
            average_precision(new[:, 0], truth[:, 0]), abs=1e-4
        )
    assert apart


def test_a_label_that_says_little_has_the_temperature_that_the_others_share() -> None:
    logits, targets = drawn(2000)
    targets[:, 2] = 0
    first, second, none = calibrate_labels(logits, targets, F1).temperatures
    assert none == pytest.approx((first + second) / 2, abs=0.2)
    (alone,) = calibrate_labels(logits[:30, :1], targets[:30, :1], F1).temperatures
    assert 1 < alone < 0.8 * first


def test_a_choice_is_told_of_other_images_as_it_was_made() -> None:
    logits, targets = drawn()
    chosen = calibrate_labels(logits[:150], targets[:150], F1)
    told = chosen.told_of(logits[150:], targets[150:])
    assert (told.thresholds, told.temperatures) == (chosen.thresholds, chosen.temperatures)
    assert told.ece_after != chosen.ece_after


def test_a_sigmoid_of_large_logits_is_finite() -> None:
    assert sigmoid(np.array([-1000, 0, 1000], np.float32)).tolist() == [0, 0.5, 1]
