import math

import numpy as np
import pytest

from trainer.evaluate.metrics import (
    accuracy_interval,
    confusion,
    expected_calibration_error,
    measure,
    most_confused,
    reliability,
)


def test_calibration_error_is_the_weighted_gap_of_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 4, np.float32)
    targets = np.array([0, 0, 0, 1, 0, 0, 1, 1])  # 75 % right at .9, 50 % right at .6
    assert expected_calibration_error(probabilities, targets) == pytest.approx((0.15 + 0.10) / 2, abs=1e-6)


def test_measures_of_a_small_known_set() -> None:
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]], np.float32)
    targets = np.array([0, 1, 1, 0])
    metrics = measure(probabilities, targets, ("cat", "dog"), 0.75)
    assert metrics.accuracy == 0.75
    assert metrics.loss == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.9]).mean(), rel=1e-6)
    assert (metrics.per_class["cat"].precision, metrics.per_class["cat"].recall) == pytest.approx((2 / 3, 1))
    assert (metrics.per_class["dog"].precision, metrics.per_class["dog"].recall) == (1, 0.5)
    assert metrics.macro_recall == 0.75
    assert metrics.majority == ("cat", 0.5)
    assert metrics.abstained == 2
    assert metrics.confidences == (*[0] * 12, 1, 0, 1, 0, 1, 0, 1, 0)
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


def test_reliability_gives_confidence_and_accuracy_of_each_bin_that_has_images() -> None:
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2 + [[0.0, 1.0]], np.float32)
    bins = reliability(probabilities, np.array([0, 0, 0, 1, 0, 1, 1]))
    assert [(b.images, b.accuracy) for b in bins] == [(2, 0.5), (4, 0.75), (1, 1.0)]
    assert [b.confidence for b in bins] == pytest.approx([0.6, 0.9, 1.0])
    assert all(b.low <= b.confidence <= b.high for b in bins)


def test_most_confused_pairs_are_the_largest_off_the_diagonal() -> None:
    counts = np.array([[9, 1, 0], [3, 5, 0], [0, 0, 7]])
    pairs = most_confused(counts, ("cat", "dog", "cow"))
    assert [(pair.truth, pair.predicted, pair.count) for pair in pairs] == [
        ("dog", "cat", 3),
        ("cat", "dog", 1),
    ]
