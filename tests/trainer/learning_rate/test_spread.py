"""The resamplings of a curve's noise, and what is more than noise, against their definitions."""

import numpy as np
import pytest

from trainer.learning_rate.range_test import Curve, smooth
from trainer.learning_rate.spread import falls_beyond_noise, lower_median, spread, trend
from trainer.learning_rate.suggestions import Points

NOISE = np.random.default_rng(0).normal(0, 1, 100)
FALL = np.concatenate([np.linspace(1, 0, 80), np.linspace(0, 2, 20)])


def _curve(losses: Points) -> Curve:
    values = losses.tolist()
    return Curve(np.logspace(-7, 1, len(values)).tolist(), values, smooth(values), "all steps were made")


def _fitted(losses: Points, width: int) -> Points:
    """Of the straight lines through each point and `width` others to either side, the value there."""
    places = np.arange(len(losses))
    windows = [slice(max(0, place - width), place + width + 1) for place in places]
    lines = [np.polyfit(places[near], losses[near], 1) for near in windows]
    return np.array([np.polyval(line, place) for line, place in zip(lines, places, strict=True)])


def test_trend_is_of_a_tenth_of_the_points_to_either_side_and_of_five_at_least() -> None:
    for count, width in ((100, 10), (40, 5), (12, 5)):
        assert trend(_curve(NOISE[:count])) == pytest.approx(_fitted(NOISE[:count], width))
    assert trend(_curve(NOISE[:1])).tolist() == NOISE[:1].tolist()


def test_usable_are_the_points_after_the_first_tenth_and_before_the_last_five() -> None:
    lrs, losses = _curve(NOISE).usable()
    assert len(lrs) == len(losses) == 85
    assert lrs[0] == _curve(NOISE).lrs[10]
    assert losses[-1] == smooth(NOISE.tolist())[94]


def test_spread_is_of_the_curve_and_of_twenty_that_turn_the_signs_of_its_noise() -> None:
    seen: list[Points] = []

    def probe(lrs: Points, losses: Points) -> float:
        assert len(lrs) == len(losses)
        seen.append(losses)
        return float(losses[0])

    curve, level = _curve(NOISE), _fitted(NOISE, 10)
    values = spread(curve, {"probe": probe, "nothing": lambda lrs, losses: None})
    expected = [NOISE]
    for seed in range(20):
        is_turned = np.random.default_rng(seed).choice([True, False], 100)
        expected.append(np.where(is_turned, 2 * level - NOISE, NOISE))
    smoothed = [smooth(losses.tolist())[10:95] for losses in expected]
    assert np.array(seen) == pytest.approx(np.array(smoothed))
    assert values == {"probe": sorted(float(losses[0]) for losses in seen)}


def test_lower_median_is_the_middle_one_or_the_lower_of_two() -> None:
    cases = [([5.0], 5), ([1.0, 2.0], 1), ([1.0, 2.0, 3.0], 2), ([1.0, 2.0, 3.0, 4.0], 2)]
    for values, middle in cases:
        assert lower_median(values) == middle


def test_fall_is_more_than_noise_from_four_standard_errors_on() -> None:
    for size, errors, is_fall in ((1.682, 3.988, False), (1.69, 4.012, True)):
        losses = NOISE + size * FALL
        assert _fall_in_standard_errors(losses) == pytest.approx(errors, abs=0.002)
        assert falls_beyond_noise(_curve(losses)) == is_fall


def test_rise_is_no_fall() -> None:
    assert not falls_beyond_noise(_curve(np.linspace(1.0, 2.0, 100)))


def _fall_in_standard_errors(losses: Points) -> float:
    """Half of normal noise lies within .6745 standard deviations; the mean of 17 points, a tenth of the 85 to
    either side of one, has the 17th of their variance, and a difference twice that of its ends."""
    level, usable = _fitted(losses, 10)[10:95], losses[10:95]
    lowest = int(np.argmin(level))
    steps = np.abs(usable[1 : lowest + 1] - usable[:lowest])
    noise = np.median(steps) / (0.6745 * np.sqrt(2))
    return float((level[0] - level.min()) / (noise * np.sqrt(2 / 17)))
