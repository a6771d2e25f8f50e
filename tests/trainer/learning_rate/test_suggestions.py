"""What is read off a range test's curve."""

import math

import numpy as np
import pytest

from trainer.learning_rate.range_test import clr, minimum, slide, smooth, steep, valley
from trainer.learning_rate.spread import Suggestion
from trainer.learning_rate.suggestions import Points, centred_means

LRS = np.logspace(-7, 1, 81)
PLACES = np.arange(1.0, 401.0)
"""In the place of learning rates: the place of the point, from 1."""


def test_constant_loss_stays_constant_under_smoothing() -> None:
    assert smooth([2.5] * 50) == pytest.approx([2.5] * 50, rel=1e-12)


def test_smoothing_corrects_its_bias_from_the_first_point_on() -> None:
    first, second = smooth([3.0, 1.0])
    assert first == pytest.approx(3.0)
    assert second == pytest.approx((0.98 * 0.02 * 3 + 0.02 * 1) / (1 - 0.98**2))


def test_steep_is_the_left_point_of_the_steepest_fall_against_log_lr() -> None:
    losses = np.full(81, 2.0)
    losses[41:] = 1.0  # between points 40 and 41
    assert steep(LRS, losses) == pytest.approx(LRS[40])


def test_steep_is_against_log_lr_and_not_raw_lr() -> None:
    losses = -np.tanh(np.log10(LRS / 1e-3))  # steepest in log lr at 1e-3; in raw lr it is at the far left
    assert steep(LRS, losses) == pytest.approx(1e-3, rel=0.3)


def test_minimum_is_a_tenth_of_the_lowest_losses_lr() -> None:
    losses = (np.log10(LRS) + 2) ** 2
    assert minimum(LRS, losses) == pytest.approx(1e-3)


def test_valley_lies_a_half_into_the_longest_fall() -> None:
    flat, fall, rise = np.full(20, 3.0), np.linspace(2.9, 1.0, 30), np.linspace(1.1, 4.0, 31)
    # The longest decreasing run is one flat point and the 30 of the fall: it ends at 49, L is 31.
    assert valley(LRS, np.concatenate([flat, fall, rise])) == pytest.approx(LRS[49 - 31 + 10 + 5])


def test_valley_sees_through_a_bump_in_the_fall() -> None:
    losses = np.linspace(3.0, 1.0, 81)
    losses[40] = 5.0
    # All but the bump decrease: m is 80, L is 80.
    assert valley(LRS, losses) == pytest.approx(LRS[80 - 80 + 26 + 13])


def test_curve_that_never_falls_has_no_valley() -> None:
    assert valley(LRS, np.linspace(1, 2, 81)) is None
    assert valley(LRS, np.full(81, 1.0)) is None


def test_valley_of_a_fall_from_the_first_point_does_not_index_from_the_end() -> None:
    assert valley(np.array([1e-3, 1e-2]), np.array([2.0, 1.0])) == pytest.approx(1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_valley_lies_below_minimums_trough_on_noisy_curves(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.05, 81)
    losses = 2.3 - 1.5 / (1 + np.exp(-3 * (np.log10(LRS) + 3.5))) + 30 * np.maximum(0, LRS - 1) + noise
    rate, trough = valley(LRS, np.array(smooth(losses.tolist()))), LRS[np.argmin(losses)]
    assert rate is not None
    assert rate < trough


def test_valley_agrees_with_the_quadratic_definition() -> None:
    losses = np.random.default_rng(3).normal(0, 1, 81).cumsum()
    assert valley(LRS, losses) == pytest.approx(_valley_by_definition(LRS, losses))


def _valley_by_definition(lrs: Points, losses: Points) -> float:
    lengths = [1] * len(losses)
    for i in range(len(losses)):
        for j in range(i):
            if losses[i] < losses[j]:
                lengths[i] = max(lengths[i], lengths[j] + 1)
    longest = max(lengths)
    return float(lrs[max(0, lengths.index(longest) - longest + longest // 3 + longest // 6)])


def test_slide_stops_where_the_window_s_ends_are_equally_flat() -> None:
    losses = np.concatenate([np.full(50, 1.0), 1.0 + 0.05 * np.arange(31) ** 1.5])
    rate = slide(LRS, losses)
    assert rate is not None
    # The window's right end has left the rise, so its left end is 15 points before it.
    assert LRS[30] <= rate <= LRS[40]


def test_slide_ends_where_the_gradients_differ_by_no_more_than_its_threshold() -> None:
    """From point 45 on the loss rises by .012 a point. The gradient there is .006, which differs by more than
    .005 from the flat part's; that of the point before does not."""
    losses = 1 + 0.012 * np.maximum(0, np.arange(60) - 45)
    assert slide(LRS[:60], losses) == LRS[45 - 15]


@pytest.mark.parametrize("suggest", [steep, minimum, valley, slide])
@pytest.mark.parametrize("bad", [[math.nan] * 40, [2.0] * 30 + [math.nan] * 10, [2.0] * 39 + [math.inf]])
def test_losses_that_are_no_numbers_suggest_nothing(suggest: Suggestion, bad: list[float]) -> None:
    assert suggest(LRS[:40], np.array(bad)) is None


def test_slide_of_a_flat_curve_is_where_the_window_begins() -> None:
    assert slide(LRS, np.full(81, 1.0)) == pytest.approx(LRS[80 - 15])


@pytest.mark.parametrize("points", [0, 1, 3])
def test_suggestions_of_too_few_points_raise_nothing(points: int) -> None:
    lrs, losses = LRS[:points], np.linspace(2, 1, points)
    assert slide(lrs, losses) is None
    assert (steep(lrs, losses) is None) == (points < 2)
    assert (valley(lrs, losses) is None) == (points < 2)
    assert (minimum(lrs, losses) is None) == (points == 0)


def _logistic(centre: float) -> Points:
    """From 0 to 1 over ln lr, at a half at `centre`."""
    return np.asarray(1 / (1 + np.exp(-3 * np.log(LRS / centre))))


def test_clr_is_from_a_tenth_to_nine_tenths_of_the_rise() -> None:
    pair = clr(LRS, 0.1 + 0.6 * _logistic(1e-3))
    assert pair is not None
    # A logistic is at a tenth and nine tenths where 3 ln(lr / 1e-3) is -ln 9 and ln 9; the mean over eight
    # points, .8 decades, moves that outwards by less than half its width.
    assert 9 ** (-1 / 3) * 10**-0.4 < pair[0] / 1e-3 <= 9 ** (-1 / 3)
    assert 9 ** (1 / 3) <= pair[1] / 1e-3 < 9 ** (1 / 3) * 10**0.4


def test_clr_ends_before_the_accuracy_falls_again() -> None:
    pair = clr(LRS, 0.1 + 0.6 * _logistic(1e-4) * (1 - _logistic(1e-1)))
    assert pair is not None
    assert 1e-5 < pair[0] < 1e-4 < pair[1] < 1e-2


@pytest.mark.parametrize("points", [0, 1, 2, 81])
def test_accuracy_that_never_rises_gives_no_pair(points: int) -> None:
    assert clr(LRS[:points], np.full(points, 0.1)) is None
    assert clr(LRS[:points], np.linspace(0.5, 0.1, points)) is None


def test_clr_takes_noise_for_no_rise() -> None:
    draws = [np.random.default_rng(seed).normal(0.1, 0.05, 81) for seed in range(20)]
    assert [clr(LRS, draw) for draw in draws] == [None] * 20


def test_clr_stays_within_a_factor_of_ten_on_noisy_curves() -> None:
    clean = 0.1 + 0.6 * _logistic(1e-3) * (1 - _logistic(1.0))
    noisy = [clean + np.random.default_rng(seed).normal(0, 0.05, 81) for seed in range(20)]
    pairs = [pair for pair in (clr(LRS, accuracies) for accuracies in noisy) if pair is not None]
    assert len(pairs) == 20
    for rates in zip(*pairs, strict=True):
        assert max(rates) / min(rates) < 10
    assert all(base < highest for base, highest in pairs)


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
    pair = clr(PLACES, rise)
    assert pair is not None
    assert pair[0] == np.floor(101.5 + 200 * peak / 10)
    assert pair[1] == np.ceil(101.5 + 200 * 0.9 * peak)


def test_pair_of_a_single_step_is_the_points_on_either_side_of_it() -> None:
    """Of fewer than 20 points a mean is over one."""
    for before in (4, 10, 14):
        step = np.array([0.0] * before + [1.0] * (19 - before))
        assert clr(PLACES[:19], step) == (before, before + 1)


def test_pair_is_of_the_last_rise_before_the_highest_point() -> None:
    """A first bump and what comes after the highest point make no difference."""
    heights = [0.0, 0, 0, 0.55, 0.55, 0.02, 0.02, 0.97, 1.0, 0.97, 0.02, 0.02, 0.97]
    pair = clr(np.arange(1.0, 521.0), np.repeat(heights, 40))
    assert pair is not None
    assert 240 < pair[0] < 281 < pair[1] < 321


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
