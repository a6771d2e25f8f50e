import numpy as np
import pytest

from trainer.evaluate.calibration import abstain_threshold, calibrate, fit_temperature
from trainer.evaluate.metrics import softmax


def test_temperature_undoes_a_scaling_of_calibrated_logits() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (20_000, 4)).astype(np.float32)
    targets = np.array([generator.choice(4, p=row) for row in softmax(logits.astype(np.float64))])
    assert fit_temperature(logits * 3, targets) == pytest.approx(3, rel=0.05)


def test_calibration_counts_what_it_keeps_and_how_much_of_that_is_right() -> None:
    logits = np.array([[4, 0], [3, 0], [2, 0], [1, 0]], np.float32)
    calibration = calibrate(logits, np.array([0, 0, 1, 0]), target_precision=0.9)
    assert (calibration.kept, calibration.kept_right) == (2, 2)


def test_calibration_is_told_of_other_images_as_it_was_chosen() -> None:
    logits = np.array([[4, 0], [3, 0], [2, 0], [1, 0]], np.float32)
    chosen = calibrate(logits, np.array([0, 0, 1, 0]), target_precision=0.9)
    told = chosen.told_of(np.array([[4, 0], [3, 2.9], [2, 0]], np.float32), np.array([1, 0, 0]))
    assert (told.temperature, told.abstain_threshold) == (chosen.temperature, chosen.abstain_threshold)
    assert (told.kept, told.kept_right) == (1, 0)
    assert told.ece_after != chosen.ece_after


def test_temperature_that_makes_the_calibration_error_worse_is_not_kept() -> None:
    generator = np.random.default_rng(0)
    refused = 0
    for images in (30, 60, 200):
        for _ in range(20):
            logits = generator.normal(0, 2, (images, 4)).astype(np.float32)
            targets = np.array([generator.choice(4, p=row) for row in softmax(logits.astype(np.float64))])
            calibration = calibrate(logits, targets, 0.99)
            assert calibration.ece_after <= calibration.ece_before
            assert calibration.temperature in (calibration.fitted, 1.0)
            refused += calibration.temperature != calibration.fitted
    assert 0 < refused < 60


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
