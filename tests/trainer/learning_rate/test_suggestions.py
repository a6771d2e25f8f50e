"""Each number in the definitions of the suggestions, on curves that tell it from its neighbours."""

import numpy as np
import pytest

from trainer.learning_rate.suggestions import Points, centred_means, clr, slide, steep

PLACES = np.arange(1.0, 401.0)
"""In the place of learning rates: the place of the point, from 1."""


def test_two_points_suffice_for_steep() -> None:
    assert steep(PLACES[:2], np.array([2.0, 1.0])) == 1


def test_slide_needs_one_point_more_than_its_window() -> None:
    flat = np.ones(16)
    assert slide(PLACES[:15], flat[:15]) is None
    assert slide(PLACES[:16], flat) == 1


def test_slide_moves_on_to_the_first_point_while_the_ends_differ() -> None:
    bent = np.arange(40.0) ** 2
    assert slide(PLACES[:40], bent) == 1


def test_slide_does_not_count_a_difference_of_its_threshold() -> None:
    """From the knee on the loss rises by twice the threshold a point, so at the knee by the threshold."""
    knee = 45
    for rise, threshold in ((1.0, 0.5), (0.008, None)):
        losses = rise * np.maximum(0, np.arange(60) - knee)
        suggested = (
            slide(PLACES[:60], losses, threshold=threshold) if threshold else slide(PLACES[:60], losses)
        )
        assert suggested == PLACES[knee + 1 - 15]


def test_pair_lies_at_a_tenth_and_nine_tenths_of_a_straight_rise() -> None:
    """Over 40 points a mean is that of the point half a place before its middle."""
    rise = np.clip((PLACES - 101) / 200, 0, 1)
    rise[300:] = 1 - (PLACES[:100] - 1) / 1000
    peak = centred_means(rise, 40).max()
    found = clr(PLACES, rise)
    assert found is not None
    assert found[0] == np.floor(101.5 + 200 * peak / 10)
    assert found[1] == np.ceil(101.5 + 200 * 0.9 * peak)


def test_three_points_are_the_fewest_with_a_pair() -> None:
    assert clr(PLACES[:2], np.array([0.0, 1.0])) is None
    assert clr(PLACES[:3], np.array([0.0, 0.5, 1.0])) == (1, 3)


def test_peak_within_the_first_tenth_is_no_rise() -> None:
    for peak, is_rise in ((9, False), (10, True)):
        tent = np.concatenate([np.arange(peak), np.arange(peak, peak - 100, -1)])[:100].astype(float)
        assert np.argmax(centred_means(tent, 10)) == peak
        assert (clr(PLACES[:100], tent) is not None) == is_rise


def test_rise_is_six_standard_errors_at_least() -> None:
    """On 105 points, a mean is over 10."""
    noise = np.random.default_rng(0).normal(0, 1, 105)
    for size, errors, is_rise in ((1.37, 5.9, False), (1.43, 6.1, True)):
        accuracies = noise + size / (1 + np.exp(-(np.arange(105) - 50) / 5))
        assert _rise_in_standard_errors(accuracies) == pytest.approx(errors, abs=0.05)
        assert (clr(PLACES[:105], accuracies) is not None) == is_rise


def _rise_in_standard_errors(accuracies: Points) -> float:
    """The standard deviation of a mean over 10, from differences of which each holds the noise twice."""
    means = [accuracies[max(0, place - 5) : place + 5].mean() for place in range(len(accuracies))]
    rise = max(means) - accuracies[:10].mean()
    steps = accuracies[1:] - accuracies[:-1]
    return float(rise / (steps.std() / 2**0.5 / 10**0.5))
