"""The learning rate that is taken, and how far it can be trusted."""

import json
import logging
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from fovea.errors import DataInvalid
from trainer.learning_rate import decision as decisions
from trainer.learning_rate.decision import Decision, decide, fixed_rate, read_decision
from trainer.learning_rate.range_test import Curve, smooth
from trainer.learning_rate.suggestions import Points
from trainer.runs.run_folder import RunFolder

LRS = np.logspace(-7, 1, 100)


def _curve(losses: list[float] | Points, accuracies: list[float] | None = None) -> Curve:
    losses = [float(loss) for loss in losses]
    lrs = LRS[: len(losses)].tolist()
    return Curve(lrs, losses, smooth(losses), "all steps were made", accuracies or [])


def _good(noise: float = 0.0, seed: int = 0) -> Curve:
    """Falls around 1e-3, rises from .3 on."""
    decades = np.log10(LRS)
    clean = 2.3 - 1.5 / (1 + np.exp(-3 * (decades + 3))) + 3 * np.maximum(0, decades + 0.5) ** 2
    return _curve(clean + np.random.default_rng(seed).normal(0, noise, len(LRS)))


def test_decision_takes_the_valley_of_a_good_curve() -> None:
    decision = decide(_good(0.05), fallback_lr=1e-3)
    assert decision.lr == pytest.approx(decision.suggestions["valley"], rel=1)
    assert decision.warning is None
    assert decision.confidence == "high"
    assert "valley" in decision.why


def test_valleys_of_twenty_noisy_curves_lie_below_the_lowest_loss_and_near_each_other() -> None:
    decisions = [decide(_good(0.1, seed), 1e-3) for seed in range(20)]
    for decision in decisions:
        trough = decision.suggestions["minimum"]
        assert trough is not None
        assert decision.lr < trough
    assert max(d.lr for d in decisions) / min(d.lr for d in decisions) < 10


def test_spread_of_one_curve_is_of_the_size_of_the_spread_over_curves() -> None:
    valleys = [decide(_good(0.1, seed), 1e-3).lr for seed in range(20)]
    across = math.log(max(valleys) / min(valleys))
    for seed in range(20):
        lowest, highest = decide(_good(0.1, seed), 1e-3).spread["valley"]
        assert across / 2.5 < math.log(highest / lowest) < across * 2.5


def test_taken_rate_lies_within_the_range_that_is_stated_and_wanders_less_than_the_curves_own() -> None:
    own, taken = [], []
    for seed in range(40):
        decision = decide(_good(0.2, seed), 1e-3)
        lowest, highest = decision.spread["valley"]
        valley = decision.suggestions["valley"]
        assert valley is not None
        assert lowest <= min(decision.lr, valley) <= max(decision.lr, valley) <= highest
        own.append(math.log(valley))
        taken.append(math.log(decision.lr))
    assert np.std(taken) < 0.9 * np.std(own)


def test_rate_far_from_the_curves_own_valley_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    curve = _good(0.05)
    own = decide(curve, 1e-3).suggestions["valley"]
    assert own is not None
    values = {"valley": sorted([own, *[own / 5] * 20]), "minimum": [10 * own] * 21}
    monkeypatch.setattr("trainer.learning_rate.decision.spread", lambda curve, suggestions: values)
    decision = decide(curve, 1e-3)
    assert (decision.lr, decision.confidence) == (own / 5, "low")
    assert "own valley" in decision.why


def test_spread_is_stated_in_words() -> None:
    decision = decide(_good(0.1), 1e-3)
    lowest, highest = decision.spread["valley"]
    assert lowest < highest
    said = f"over 20 resamplings of the curve's noise it lies between {lowest:.2g} and {highest:.2g}"
    assert said in decision.why


def test_same_curve_always_has_the_same_decision() -> None:
    assert decide(_good(0.1), 1e-3) == decide(_good(0.1), 1e-3)


def test_confidence_falls_with_the_noise() -> None:
    confident = [
        sum(decide(_good(noise, seed), 1e-3).confidence == "high" for seed in range(20))
        for noise in (0.02, 1.0)
    ]
    assert confident[0] == 20
    assert confident[1] < 10


def test_accuracies_give_the_cyclical_pair() -> None:
    accuracies = 0.1 + 0.6 / (1 + np.exp(-3 * (np.log10(LRS) + 3)))
    decision = decide(_curve(_good().losses, accuracies.tolist()), 1e-3)
    highest = decision.suggestions["clr"]
    assert decision.base_lr is not None
    assert highest is not None
    assert decision.base_lr < 1e-3 < highest


def test_accuracies_that_rise_elsewhere_lower_the_confidence() -> None:
    decades, losses = np.log10(LRS), _good(0.05).losses
    for rise_at, confidence, said in ((-3, "high", "the accuracies agree"), (-6, "low", "do not agree")):
        accuracies = 0.1 + 0.6 / (1 + np.exp(-6 * (decades - rise_at)))
        decision = decide(_curve(losses, accuracies.tolist()), 1e-3)
        assert decision.confidence == confidence
        assert said in decision.why


@pytest.mark.parametrize(
    ("losses", "problem"),
    [
        ([], "0 usable points"),
        ([2.3], "0 usable points"),
        ([2.3, 2.2, 2.1], "0 usable points"),
        (np.linspace(2.3, 2.0, 14).tolist(), "8 usable points"),
        (np.linspace(1, 2, 100).tolist(), "never fell"),
        ([2.3] * 100, "the loss fell by no more than its noise"),
    ],
    ids=["not finite from the start", "one point", "three points", "14 points", "rises", "stays"],
)
def test_degenerate_curve_falls_back_with_a_warning(losses: list[float], problem: str) -> None:
    decision = decide(_curve(losses), fallback_lr=4e-4)
    assert decision.lr == 4e-4
    assert decision.confidence == "none"
    assert decision.warning is not None
    assert problem in decision.warning
    assert "--fallback-lr" in decision.warning


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_fall(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(2.3, 0.1, 100)
    decision = decide(_curve(noise), fallback_lr=4e-4)
    assert decision.lr == 4e-4
    assert "no more than its noise" in decision.why


@pytest.mark.parametrize("count", [0, 1, 3, 12, 40, 100])
def test_record_is_strict_json_and_reads_back(count: int) -> None:
    decision = decide(_curve(_good(0.1).losses[:count]), 1e-3)
    text = json.dumps(asdict(decision), allow_nan=False)
    assert json.loads(text)["lr"] == decision.lr


def test_given_rate_is_no_decision() -> None:
    decision = fixed_rate(3e-3)
    assert (decision.lr, decision.curve, decision.suggestions) == (3e-3, None, {})


def _chosen(
    monkeypatch: pytest.MonkeyPatch,
    valleys: list[float],
    minimum: float,
    own: float | None = None,
    pair: tuple[float, float] | None = None,
) -> Decision:
    """What is taken where the suggestions are these. By default the curve's own valley is the middle one."""
    with monkeypatch.context() as patch:
        own = own or valleys[(len(valleys) - 1) // 2]
        patch.setitem(decisions.OF_LOSSES, "valley", lambda lrs, losses: own)
        values = {"valley": valleys, "minimum": [minimum]}
        patch.setattr(decisions, "spread", lambda curve, suggestions: values)
        patch.setattr(decisions, "clr", lambda lrs, accuracies: pair)
        return decide(_curve(_good(0.05).losses, [0.5] * len(LRS)), 1e-3)


def test_confidence_is_high_up_to_each_limit_and_low_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    for confidence, valleys, minimum, own, pair in (
        ("high", [2.0, 2.0, 20.0], 20.0, None, None),  # wanders by 10
        ("low", [2.0, 2.0, 21.0], 20.0, None, None),
        ("high", [2.0], 200.0, None, None),  # 100 below the minimum
        ("low", [2.0], 202.0, None, None),
        ("high", [2.0], 2.0, None, None),
        ("high", [1.0], 1.0, 3.0, None),  # off the curve's own by 3
        ("low", [1.0], 1.0, 3.1, None),
        ("high", [3.0], 3.0, 1.0, None),
        ("low", [3.1], 3.1, 1.0, None),
        ("high", [2.0], 2.0, None, (6.0, 7.0)),  # outside the pair by 3
        ("low", [2.0], 2.0, None, (6.2, 7.0)),
        ("high", [6.0], 6.0, None, (1.0, 2.0)),
        ("low", [6.2], 6.2, None, (1.0, 2.0)),
        ("low", [2.0, 2.0, 21.0], 20.0, None, (1.0, 3.0)),
    ):
        chosen = _chosen(monkeypatch, valleys, minimum, own, pair)
        middle = valleys[(len(valleys) - 1) // 2]
        assert (chosen.lr, chosen.confidence) == (middle, confidence), (valleys, minimum, own, pair)
        assert chosen.spread == {"valley": (valleys[0], valleys[-1]), "minimum": (minimum, minimum)}
        assert (chosen.base_lr, chosen.suggestions["clr"]) == (pair or (None, None))


def test_valley_above_the_minimum_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = _chosen(monkeypatch, [2.0], 1.9)
    assert (chosen.lr, chosen.confidence) == (1.9, "low")
    assert chosen.why.startswith("minimum, for valley (2) lies above it")


def test_ten_usable_points_are_the_fewest_and_a_linear_test_may_end_lower() -> None:
    falling = np.linspace(2.3, 1.0, 16).tolist()
    assert decide(_curve(falling), 1e-3).warning is None
    curve = _curve(falling[:-1])
    hints = {"were made)": curve, "were made; try a lower --end-lr)": replace(curve, mode="linear")}
    for hint, tested in hints.items():
        warning = decide(tested, 1e-3).warning
        assert warning is not None
        assert f"9 usable points, fewer than 10 (all steps {hint}" in warning


def test_decision_is_logged_and_one_without_a_curve_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fixed_rate(3e-3).log()
    decide(_curve([2.3]), 4e-4).log()
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert caplog.messages[0] == "learning rate 0.003: given as --lr"
    assert caplog.messages[1].startswith("learning rate 0.0004: the curve has 0 usable points")


def test_decision_is_read_back_from_its_run_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    run, file = RunFolder(tmp_path), tmp_path / "lr_find.json"
    for decision in (decide(_good(0.1), 1e-3), fixed_rate(3e-3)):
        file.write_text(json.dumps(asdict(decision)))
        read = read_decision(run)
        assert (read.lr, read.curve) == (decision.lr, decision.curve)
        assert json.dumps(asdict(read)) == file.read_text()
    records: list[dict[str, object]] = [{}, {"curve": {"lrs": []}}, {"curve": None, "rate": 1}]
    for damaged in records:
        file.write_text(json.dumps(damaged))
        with pytest.raises(DataInvalid, match=r"lr_find\.json: not the record of a learning rate"):
            read_decision(run)
