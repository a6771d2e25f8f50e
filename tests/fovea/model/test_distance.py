import math

import numpy as np
import pytest

from fovea.model import distance
from fovea.model.measured import ClassMetrics, Metrics
from trainer.evaluate.metrics import measure

REFERENCE = np.array([40, 40, 20])


def test_same_shares_give_no_psi() -> None:
    assert distance.psi(REFERENCE, REFERENCE) == 0


def test_psi_is_the_formulas() -> None:
    # Shares of 0.75 and 0.25 against 0.25 and 0.75, the half images included.
    expected = 0.5 * math.log(3) - 0.5 * math.log(1 / 3)
    assert distance.psi(np.array([1, 0]), np.array([0, 1])) == pytest.approx(expected)


def test_class_that_is_never_seen_gives_a_finite_psi() -> None:
    assert 0.25 < distance.psi(np.array([500, 500, 0]), REFERENCE) < 10


@pytest.mark.parametrize(
    ("classes", "held_out", "window"), [(3, 60, 1000), (37, 739, 1850), (10, 5000, 1000)]
)
def test_chance_is_exceeded_once_in_a_hundred(classes: int, held_out: int, window: int) -> None:
    random = np.random.default_rng(7)
    shares = random.dirichlet(np.full(classes, 5.0))
    limit = distance.psi_by_chance(window, held_out, classes)
    draws = [
        distance.psi(random.multinomial(window, shares), random.multinomial(held_out, shares))
        for _ in range(1000)
    ]
    assert 0.001 < np.mean(np.array(draws) > limit) < 0.03


def test_predictions_on_the_held_out_images_are_regained_from_the_contract() -> None:
    random = np.random.default_rng(3)
    labels = tuple(f"class {index}" for index in range(37))
    targets = random.integers(0, 37, 739)
    probabilities = random.random((739, 37), np.float32) + 2 * np.eye(37, dtype=np.float32)[targets]
    probabilities[random.random(739) < 0.3] = random.random(37, np.float32)
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = np.bincount(probabilities.argmax(1), minlength=37)
    assert (
        distance.predicted_on_held_out(labels, measure(probabilities, targets, labels, 0.5)).tolist()
        == expected.tolist()
    )


def test_classes_that_were_never_right_share_what_is_left() -> None:
    rows = {
        "right": ClassMetrics(images=4, precision=0.5, recall=1.0),
        "never right": ClassMetrics(images=5, precision=0.0, recall=0.0),
        "never asked for": ClassMetrics(images=0, precision=0.0, recall=0.0),
    }
    contract = Metrics(images=9, accuracy=0.5, loss=1.0, ece=0.0, per_class=rows)
    assert distance.predicted_on_held_out(("right", "never right"), contract).tolist() == [8, 1]
    assert distance.predicted_on_held_out(tuple(rows), contract).tolist() == [8, 1, 0]
    assert distance.predicted_on_held_out(("unknown", "right"), contract).tolist() == [1, 8]
    nothing_left = contract.model_copy(update={"images": 8})
    assert distance.predicted_on_held_out(("right", "never right"), nothing_left).tolist() == [8, 0]


def test_finer_bins_are_put_together_to_tenths() -> None:
    assert distance.tenths(range(20)).tolist() == [1, 5, 9, 13, 17, 21, 25, 29, 33, 37]
    assert distance.tenths(range(10)).tolist() == list(range(10))


def test_images_that_the_model_abstained_from_are_told_from_the_others() -> None:
    assert distance.abstentions(3, 10).tolist() == [3, 7]


def test_classes_drift_that_are_another_share_by_more_than_chance_and_by_enough() -> None:
    reference = np.array([500, 300, 150, 50], np.int64)
    assert distance.drifting_classes(np.array([5000, 3000, 1500, 500], np.int64), reference) == []
    assert distance.drifting_classes(np.array([3000, 3000, 3500, 500], np.int64), reference) == [0, 2], (
        "rarer, more often"
    )
    assert distance.drifting_classes(np.array([5600, 2400, 1500, 500], np.int64), reference) == [], (
        "too little"
    )
    assert distance.drifting_classes(np.array([50, 30, 12, 8], np.int64), reference) == [], "by chance"


def test_without_drift_a_class_is_said_to_drift_once_in_a_hundred_times() -> None:
    generator = np.random.default_rng(3)
    shares = np.full(10, 0.1)
    drawn = [(generator.multinomial(1000, shares), generator.multinomial(400, shares)) for _ in range(1000)]
    assert sum(bool(distance.drifting_classes(*pair)) for pair in drawn) <= 20


def selections(random: np.random.Generator, rates: list[float], images: int) -> distance.Selections:
    return distance.Selections(random.binomial(images, rates), images)


def test_labels_rates_differ_by_more_than_chance_once_in_a_hundred_times() -> None:
    """Of labels that are not each other's rest, some of them rare."""
    random, rates = np.random.default_rng(11), [0.5, 0.3, 0.1, 0.05, 0.02]
    pairs = [(selections(random, rates, 1000), selections(random, rates, 800)) for _ in range(1000)]
    beyond = [distance.label_psi(*pair)[0] > distance.label_psi_by_chance(*pair) for pair in pairs]
    assert sum(beyond) <= 20
    assert sum(bool(distance.drifting_selections(*pair)) for pair in pairs) <= 20


def test_label_whose_rate_is_furthest_off_is_named_and_those_that_drift_are_told() -> None:
    reference = distance.Selections(np.array([500, 300, 150]), 1000)
    same = distance.Selections(np.array([5000, 3000, 1500]), 10_000)
    assert distance.label_psi(same, reference)[0] < 0.001
    assert distance.drifting_selections(same, reference) == []
    other = distance.Selections(np.array([5000, 1000, 4000]), 10_000)
    psi, worst = distance.label_psi(other, reference)
    assert (psi > 0.25, worst) == (True, 1)
    assert distance.drifting_selections(other, reference) == [1, 2], "rarer, more often"
    all_of_them = distance.Selections(np.array([10_000, 3000, 1500]), 10_000)
    assert distance.drifting_selections(all_of_them, reference) == [0]


@pytest.mark.parametrize(
    ("before", "now", "factor"),
    [(0.3, 0.55, 2.85), (0.01, 0.1, 11), (0.1, 0.01, 11), (0.01, 0.015, 1.51), (0.99, 0.9, 11)],
)
def test_label_is_as_far_off_as_its_odds_have_changed_however_rare_it_is(
    before: float, now: float, factor: float
) -> None:
    """From 1 % to 10 % the PSI of the rate is 0.21, which bounds of 0.25 pass."""
    reference = distance.Selections(np.array([round(100_000 * before)]), 100_000)
    seen = distance.Selections(np.array([round(100_000 * now)]), 100_000)
    moved = math.log(factor)
    psi = distance.label_psi(seen, reference)[0]
    assert psi == pytest.approx(moved * math.tanh(moved / 4), rel=0.02)
    assert distance.label_psi_by_chance(seen, reference) < psi


def test_a_label_of_a_few_images_is_far_off_by_chance_and_hides_none_that_is_not() -> None:
    reference = distance.Selections(np.array([0, 100]), 1000)
    alone, beside = (distance.Selections(np.array([10, now]), 5000) for now in (500, 1250))
    assert distance.label_psi(alone, reference)[0] > 0.25, "0 of 1,000, 10 of 5,000"
    assert distance.label_psi_by_chance(alone, reference) > distance.label_psi(alone, reference)[0]
    psi, worst = distance.label_psi(beside, reference)
    assert (worst, psi > distance.label_psi_by_chance(beside, reference)) == (1, True)


def test_rare_labels_differ_by_more_than_chance_as_seldom() -> None:
    random, rates = np.random.default_rng(5), [0.003] * 80
    pairs = [(selections(random, rates, 100_000), selections(random, rates, 300)) for _ in range(300)]
    assert sum(distance.label_psi(*pair)[0] > distance.label_psi_by_chance(*pair) for pair in pairs) <= 6


def test_a_few_images_more_of_a_label_are_chance() -> None:
    """Five of one and none of the other come about once in sixteen times."""
    none, five = (distance.Selections(np.array([count]), 10_000) for count in (0, 5))
    assert distance.label_psi(five, none)[0] < distance.label_psi_by_chance(five, none)
