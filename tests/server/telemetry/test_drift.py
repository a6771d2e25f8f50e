import math

import numpy as np
import pytest

from fovea.model.distance import Counts
from server.telemetry.drift import DriftGauge

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


def predict(gauge: DriftGauge, counts: list[int] | Counts) -> None:
    for label, count in enumerate(counts):
        for _ in range(count):
            gauge.counts[label] += 1
