import math

import numpy as np
import pytest

from trainer.calibration import (
    abstain_threshold,
    accuracy_interval,
    calibrate,
    confusion,
    expected_calibration_error,
    fit_temperature,
    measure,
    softmax,
)


def test_temperature_undoes_a_scaling_of_calibrated_logits() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (20_000, 4)).astype(np.float32)
    targets = np.array([generator.choice(4, p=row) for row in softmax(logits.astype(np.float64))])
    assert fit_temperature(logits * 3, targets) == pytest.approx(3, rel=0.05)


def test_calibration_error_is_the_weighted_gap_of_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4, np.float32)
    targets = np.array([0, 0, 0, 1, 0, 0, 1, 1])  # 75 % right at .9, 50 % right at .6
    assert expected_calibration_error(probabilities, targets) == pytest.approx((0.15 + 0.10) / 2, abs=1e-6)


def test_calibration_counts_what_it_keeps_and_how_much_of_that_is_right() -> None:
    logits = np.array([[4, 0], [3, 0], [2, 0], [1, 0]], np.float32)
    found = calibrate(logits, np.array([0, 0, 1, 0]), target_precision=0.9)
    assert (found.kept, found.kept_right) == (2, 2)


def test_abstain_threshold_is_the_smallest_that_reaches_the_precision() -> None:
    confidence = np.array([0.95, 0.9, 0.8, 0.7, 0.6], np.float32)
    probabilities = np.stack([confidence, 1 - confidence], 1)
    targets = np.array([0, 0, 0, 1, 0])
    threshold = abstain_threshold(probabilities, targets, 0.99)
    assert 0.7 < threshold <= 0.8
    assert abstain_threshold(probabilities, targets, 0.8) == 0.0
    assert abstain_threshold(probabilities, 1 - targets, 0.99) == 1.0


def test_images_of_equal_confidence_are_kept_or_left_together() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2]], np.float32)
    assert abstain_threshold(probabilities, np.array([0, 0, 1]), 1.0) > 0.8


def test_measures_of_a_small_known_set() -> None:
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]], np.float32)
    targets = np.array([0, 1, 1, 0])
    metrics = measure(probabilities, targets, ("cat", "dog"))
    assert metrics.accuracy == 0.75
    assert metrics.loss == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.9]).mean(), rel=1e-6)
    assert (metrics.per_class["cat"].precision, metrics.per_class["cat"].recall) == (pytest.approx(2 / 3), 1)
    assert (metrics.per_class["dog"].precision, metrics.per_class["dog"].recall) == (1, 0.5)
    assert confusion(probabilities.argmax(1), targets, 2).tolist() == [[2, 0], [1, 1]]


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_accuracy_interval_is_wilsons_score_interval(
    right: int, images: int, low: float, high: float
) -> None:
    """81 of 263 is the example of Newcombe 1998, Statistics in Medicine 17:857-872, table I."""
    assert accuracy_interval(right, images) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("images", [1, 3, 60, 10_000])
def test_accuracy_interval_solves_the_score_equation_at_both_ends(images: int) -> None:
    right = (images + 1) // 2
    for end in accuracy_interval(right, images):
        score = abs(right / images - end) / math.sqrt(max(end * (1 - end), 1e-300) / images)
        assert end in (0.0, 1.0) or score == pytest.approx(1.959964, abs=1e-5)


@pytest.mark.parametrize(("right", "images"), [(0, 0), (2, 1), (-1, 4)])
def test_accuracy_interval_refuses_impossible_counts(right: int, images: int) -> None:
    with pytest.raises(ValueError, match="cannot be right"):
        accuracy_interval(right, images)
