"""How the images of each group fare, and what that says of others."""

import numpy as np
import pytest

from trainer.evaluate.by_group import T_QUANTILES_975, ByGroup, OfGroup, _t_quantile, by_group, fall
from trainer.evaluate.metrics import accuracy_interval


def test_weakest_group_comes_first() -> None:
    fares = by_group(["a", "b", "a", "b", "c"], np.array([True, False, True, True, True]))
    assert fares.groups == (OfGroup("b", 2, 1), OfGroup("a", 2, 2), OfGroup("c", 1, 1))
    assert (fares.right, fares.images, fares.accuracy) == (4, 5, 0.8)


def test_interval_of_groups_that_differ_is_wider_than_of_their_images() -> None:
    low, high = _fares((100, 100), (100, 60), (100, 80), (100, 80)).interval() or (0, 0)
    half = 3.182 * np.std([1.0, 0.6, 0.8, 0.8], ddof=1) / np.sqrt(4)
    assert (low, high) == pytest.approx((0.8 - half, 1.0))
    assert accuracy_interval(320, 400)[0] > low


def test_interval_of_groups_that_do_alike_is_that_of_their_images() -> None:
    assert _fares((50, 45), (50, 45)).interval() == accuracy_interval(90, 100)


def test_single_group_says_nothing_of_others() -> None:
    assert _fares((50, 45)).interval() is None
    assert fall(_fares((50, 45)), 95, 100).interval is None


def test_fall_is_from_the_random_split_and_may_be_chance() -> None:
    apart = _fares((100, 70), (100, 74), (100, 72))
    lower = fall(apart, 95, 100)
    assert lower.points == pytest.approx(0.23)
    assert lower.is_beyond_chance
    assert not fall(apart, 73, 100).is_beyond_chance


def test_interval_holds_the_accuracy_of_other_groups_as_often_as_it_says() -> None:
    chance, held = np.random.default_rng(0), 0
    for _ in range(400):
        rates = chance.beta(8, 2, 6)
        held_out = [(40, int(chance.binomial(40, rate))) for rate in rates]
        low, high = _fares(*held_out).interval() or (0, 0)
        held += low <= 0.8 <= high
    assert held / 400 > 0.92


def test_quantiles_beyond_ten_join_those_of_the_table() -> None:
    assert _t_quantile(10) == T_QUANTILES_975[-1]
    assert _t_quantile(11) == pytest.approx(2.201, abs=0.03)
    assert _t_quantile(30) == pytest.approx(2.042, abs=0.01)


def _fares(*groups: tuple[int, int]) -> ByGroup:
    return ByGroup(tuple(OfGroup(f"g{number}", *counts) for number, counts in enumerate(groups)))
