"""The trend of a curve, and how far its noise moves what it suggests."""

import numpy as np
import pytest

from trainer.learning_rate.range_test import Curve, smooth
from trainer.learning_rate.spread import lower_median, spread, trend


def curve(losses: list[float]) -> Curve:
    lrs = np.logspace(-6, 0, len(losses)).tolist()
    return Curve(lrs, losses, smooth(losses), "all steps were made")


def test_trend_is_the_line_that_fits_a_tenth_to_either_side_best() -> None:
    for count, width in ((80, 8), (30, 5)):
        losses = np.random.default_rng(5).normal(2, 1, count)
        expected = []
        for place in range(count):
            near = np.arange(max(0, place - width), min(count, place + width + 1))
            expected.append(np.polyval(np.polyfit(near - place, losses[near], 1), 0))
        assert trend(curve(losses.tolist())) == pytest.approx(np.array(expected))


def test_spread_has_the_curves_own_value_and_one_of_each_resampling() -> None:
    noisy = curve(np.random.default_rng(5).normal(2, 1, 80).tolist())
    values = spread(noisy, {"first": lambda lrs, losses: float(losses[0]), "none": lambda lrs, losses: None})
    assert list(values) == ["first"]
    assert len(values["first"]) == 21
    assert values["first"] == sorted(values["first"])
    assert noisy.smoothed[8] in values["first"]
    assert len(set(values["first"])) > 15


def test_middle_of_two_is_the_lower() -> None:
    assert [lower_median(values) for values in ([1.0], [1.0, 2.0], [1.0, 2.0, 3.0])] == [1.0, 1.0, 2.0]
