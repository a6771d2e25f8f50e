import math

import numpy as np
import pytest

from fovea.model.distance import Counts
from fovea.model.measured import CONFIDENCE_BINS, Metrics
from server.telemetry.drift import AccuracyGauge, DriftGauge

RELEASED = Metrics(
    images=2000,
    accuracy=0.7,
    loss=0.5,
    ece=0.05,
    per_class={},
    confidences=(*[0] * 10, 1000, *[0] * 8, 1000),
    right_by_confidence=(*[0] * 10, 500, *[0] * 8, 900),
)
REFERENCE = np.array([40, 40, 20])


def test_psi_says_nothing_until_it_has_seen_a_window() -> None:
    gauge = DriftGauge(REFERENCE)
    predict(gauge, [400, 400, 199])
    assert math.isnan(gauge.psi())
    assert math.isnan(gauge.chance())
    predict(gauge, [0, 0, 1])
    assert gauge.psi() < 0.01
    assert gauge.chance() > 0


def test_model_of_many_classes_is_given_more_time() -> None:
    gauge = DriftGauge(np.full(100, 10))
    predict(gauge, [49] * 100)
    assert math.isnan(gauge.psi())
    predict(gauge, [1] * 100)
    assert gauge.psi() == pytest.approx(0)


def test_old_predictions_are_forgotten() -> None:
    gauge = DriftGauge(REFERENCE)
    predict(gauge, [5000, 0, 0])
    assert gauge.psi() > 1
    for _ in range(2):
        predict(gauge, [400, 400, 200])
        last = gauge.psi()
    assert last < 0.01


def test_asking_twice_gives_the_same() -> None:
    gauge = DriftGauge(REFERENCE)
    predict(gauge, [900, 50, 50])
    assert gauge.psi() == gauge.psi()


def test_the_accuracy_to_expect_is_of_the_latest_answers_and_nan_before() -> None:
    gauge = AccuracyGauge(RELEASED)
    for confidence in [0.99] * 998 + [1.0]:
        tell(gauge, confidence)
    assert math.isnan(gauge.expected())
    tell(gauge, 1.0)
    assert gauge.expected() == pytest.approx(0.9, abs=0.01)
    for _ in range(3):
        for _ in range(1000):
            tell(gauge, 0.52)
        expected = gauge.expected()
    assert gauge.low() < expected < gauge.high()
    assert expected == pytest.approx(0.5, abs=0.01)


def test_an_older_bundle_lets_nothing_be_expected() -> None:
    gauge = AccuracyGauge(RELEASED.model_copy(update={"right_by_confidence": None}))
    for _ in range(2000):
        tell(gauge, 0.9)
    assert math.isnan(gauge.expected())


def tell(gauge: AccuracyGauge, confidence: float) -> None:
    place = min(int(confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)
    gauge.images[place] += 1
    gauge.confidence[place] += confidence


def predict(gauge: DriftGauge, counts: list[int] | Counts) -> None:
    for label, count in enumerate(counts):
        for _ in range(count):
            gauge.counts[label] += 1
