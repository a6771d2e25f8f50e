"""How far two models are apart on the same images."""

import numpy as np
import pytest

from trainer.compare.paired import difference_interval, mcnemar, paired
from trainer.evaluate.beside_release import change


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((36, 14, 0, 0), 0.1528, 0.4167), ((0, 0, 0, 5), -0.4345, 0.4345)],
)
def test_interval_is_newcombes(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    """The first is an example of Newcombe 1998, Statistics in Medicine 17:2635-2650, method 10."""
    assert difference_interval(*counts, 0.95) == pytest.approx((low, high), abs=1e-4)


def test_interval_turns_with_the_models() -> None:
    low, high = difference_interval(30, 12, 5, 8, 0.9)
    assert difference_interval(30, 5, 12, 8, 0.9) == pytest.approx((-high, -low))
    wider = difference_interval(30, 12, 5, 8, 0.99)
    assert wider[0] < low < high < wider[1]


def test_models_hardly_right_together_are_taken_for_independent() -> None:
    """By the correction of phi: then the interval is Newcombe's of two samples."""
    low, high = change(6, 10, 6, 10).interval
    assert difference_interval(4, 2, 2, 2, 0.95) == pytest.approx((low, high))
    tighter = difference_interval(40, 20, 20, 20, 0.95)
    assert tighter[1] < change(60, 100, 60, 100).interval[1]


def test_mcnemar_is_exact() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(0, 5) == mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(12, 2) == pytest.approx(2 * (1 + 14 + 91) / 2**14)


def test_counts_tell_fixed_from_broken() -> None:
    new, old = np.array([True, True, False, False]), np.array([True, False, True, False])
    found = paired(np.tile(new, 3), np.tile(old, 3), 0.95)
    assert (found.images, found.fixed, found.broken, found.new_right, found.old_right) == (12, 3, 3, 6, 6)
    assert (found.is_worse, found.is_better) == (False, False)


def test_worse_is_worse_beyond_chance() -> None:
    truth = np.ones(40, bool)
    few, many = truth.copy(), truth.copy()
    few[:2], many[:12] = False, False
    assert not paired(few, truth, 0.95).is_worse
    assert paired(many, truth, 0.95).is_worse
    assert paired(truth, many, 0.95).is_better
