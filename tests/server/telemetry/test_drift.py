import math

import numpy as np
import pytest

from fovea.model.drift import Counts
from server.telemetry.drift import Drift

REFERENCE = np.array([40, 40, 20])


def test_psi_says_nothing_until_it_has_seen_a_window() -> None:
    seen = Drift(REFERENCE)
    predict(seen, [400, 400, 199])
    assert math.isnan(seen.psi())
    assert math.isnan(seen.chance())
    predict(seen, [0, 0, 1])
    assert seen.psi() < 0.01
    assert seen.chance() > 0


def test_model_of_many_classes_is_given_more_time() -> None:
    seen = Drift(np.full(100, 10))
    predict(seen, [49] * 100)
    assert math.isnan(seen.psi())
    predict(seen, [1] * 100)
    assert seen.psi() == pytest.approx(0)


def test_old_predictions_are_forgotten() -> None:
    seen = Drift(REFERENCE)
    predict(seen, [5000, 0, 0])
    assert seen.psi() > 1
    for _ in range(2):
        predict(seen, [400, 400, 200])
        last = seen.psi()
    assert last < 0.01


def test_asking_twice_gives_the_same() -> None:
    seen = Drift(REFERENCE)
    predict(seen, [900, 50, 50])
    assert seen.psi() == seen.psi()


def predict(seen: Drift, counts: list[int] | Counts) -> None:
    for label, count in enumerate(counts):
        for _ in range(count):
            seen.count(label)
