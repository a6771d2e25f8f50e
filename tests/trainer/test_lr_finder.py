import numpy as np
import pytest

from trainer.decision import decide
from trainer.lr_finder import Curve, Points, minimum, slide, smooth, steep, valley

LRS = np.logspace(-7, 1, 81)


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
    found, trough = valley(LRS, np.array(smooth(losses.tolist()))), LRS[np.argmin(losses)]
    assert found is not None
    assert found < trough


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
    found = slide(LRS, losses)
    assert found is not None
    # The window's right end has left the rise, so its left end is 15 points before it.
    assert LRS[30] <= found <= LRS[40]


def test_slide_of_a_flat_curve_is_where_the_window_begins() -> None:
    assert slide(LRS, np.full(81, 1.0)) == pytest.approx(LRS[80 - 15])


@pytest.mark.parametrize("points", [0, 1, 3])
def test_suggestions_of_too_few_points_raise_nothing(points: int) -> None:
    lrs, losses = LRS[:points], np.linspace(2, 1, points)
    assert slide(lrs, losses) is None
    assert (steep(lrs, losses) is None) == (points < 2)
    assert (valley(lrs, losses) is None) == (points < 2)
    assert (minimum(lrs, losses) is None) == (points == 0)


def _curve(losses: list[float]) -> Curve:
    lrs = np.logspace(-7, 1, 100)[: len(losses)].tolist()
    return Curve(lrs, losses, smooth(losses), "all steps were made")


def test_decision_takes_the_valley_of_a_good_curve() -> None:
    losses = 2.3 - 1.5 / (1 + np.exp(-3 * (np.log10(np.logspace(-7, 1, 100)) + 3)))
    decision = decide(_curve(losses.tolist()), fallback_lr=1e-3)
    assert decision.lr == decision.suggestions["valley"]
    assert decision.warning is None
    assert "valley" in decision.why


@pytest.mark.parametrize(
    "losses",
    [[], [2.3, 2.2, 2.1], np.linspace(1, 2, 100).tolist()],
    ids=["not finite from the start", "three points", "never falls"],
)
def test_degenerate_curve_falls_back_with_a_warning(losses: list[float]) -> None:
    decision = decide(_curve(losses), fallback_lr=4e-4)
    assert decision.lr == 4e-4
    assert decision.warning is not None
    assert "--fallback-lr" in decision.warning
