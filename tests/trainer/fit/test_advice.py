import math

import numpy as np

from trainer.fit.advice import advise, describe_cycle
from trainer.runs.history import EpochRecord


def _records(*losses: tuple[float, float]) -> list[EpochRecord]:
    """From (training loss, held-out loss)."""
    return [
        EpochRecord(epoch, train, heldout, 0.9, 1.0, 1.2, [train], [1e-3], 0.01)
        for epoch, (train, heldout) in enumerate(losses, 1)
    ]


def test_falling_loss_runs_more_epochs_and_says_so() -> None:
    said = describe_cycle(2.3, 0.8, 0.01, 1, 2, goes_on=True)
    assert said == "held-out loss fell from 2.3000 to 0.8000 over 1 epoch: running 2 more epochs"


def test_first_cycle_without_a_fall_is_early_to_tell() -> None:
    said = describe_cycle(2.3, 6.1, 0.01, 1, 2, goes_on=True)
    assert "did not fall from 2.3000 to 6.1000 over 1 epoch, which is early to tell" in said


def test_loss_that_stopped_falling_ends_the_cycles() -> None:
    said = describe_cycle(0.2, 0.3, 0.01, 2, 4, goes_on=False)
    assert said.endswith("did not fall from 0.2000 to 0.3000 over 2 epochs: stopping here")


def test_change_within_the_noise_is_told_as_such() -> None:
    said = describe_cycle(0.305, 0.3, 0.01, 2, None, goes_on=False)
    assert said.startswith(
        "held-out loss fell from 0.3050 to 0.3000 over 2 epochs, within its standard error of 0.0100"
    )


def test_only_what_could_go_on_is_stopped() -> None:
    assert describe_cycle(0.6654, 0.6688, 0.01, 1, None, goes_on=False).endswith(
        ": no more epochs were asked for"
    )


def _advise(before: float, *losses: tuple[float, float], frozen: int = 0, **known: bool) -> str:
    return advise(_records(*losses)[frozen:], before, "a", stopped_improving=False, **known)


def test_one_epoch_that_helped_is_a_start() -> None:
    said = _advise(2.3, (1.0, 0.9))
    assert said.startswith("one epoch is a start, and held-out loss fell: run more epochs with")
    assert said.endswith("`--continue-from a --epochs 2`")


def test_one_epoch_that_did_not_help_is_not_called_a_fall() -> None:
    for loss in (0.6688, 0.6601):  # above, and below by less than the noise
        said = _advise(0.6654, (0.7, loss))
        assert "did not fall by more than its standard error (0.0100) in the one epoch" in said
        assert "early to tell" in said


def test_loss_that_still_falls_advises_twice_the_epochs() -> None:
    said = _advise(2.3, (1.0, 0.9), (0.5, 0.4))
    said_with = "run more epochs with `--continue-from a --epochs 4`"
    assert said == f"held-out loss was still falling at the end: {said_with}"


def test_advice_does_not_count_the_frozen_epochs() -> None:
    assert "--epochs 4" in _advise(0.95, (1.0, 0.95), (0.6, 0.9), (0.5, 0.4), frozen=1)
    said = _advise(0.95, (1.0, 0.95), (0.6, 0.4), (0.5, 0.5), frozen=1)
    assert said.startswith("overfitting since epoch 2: try --epochs 1,")


def test_loss_that_falls_from_above_its_start_is_told_so() -> None:
    assert "not yet below where it began, but still falling" in _advise(0.6, (1.0, 0.9), (0.5, 0.7))


def test_rising_heldout_loss_under_falling_training_loss_is_overfitting() -> None:
    assert _advise(2.3, (1.0, 0.9), (0.5, 0.4), (0.2, 0.6)).startswith("overfitting since epoch 2")
    assert "overfitting" not in _advise(2.3, (1.0, 0.9), (0.5, 0.05), (0.2, 0.059))


def test_flat_end_of_a_cycle_is_not_called_settled() -> None:
    """A run was told so, and four more epochs gained 2.6 points: its rate had come down, no more."""
    for last in (0.401, 0.391, 0.400):
        said = _advise(2.3, (1.0, 0.9), (0.5, 0.400), (0.4, last))
        assert "settled" not in said
        assert "still falling" not in said
        assert said.endswith(
            "only more epochs can tell whether they help; run more epochs with `--continue-from a --epochs 6`"
        )


def test_settled_is_what_a_steady_rate_or_another_run_no_longer_moves() -> None:
    flat = (1.0, 0.9), (0.5, 0.400), (0.4, 0.401)
    assert "settled: the last epoch moved it by no more than" in _advise(2.3, *flat, annealed=False)
    said = _advise(0.405, *flat, continued=True)
    assert said.startswith(
        "held-out loss has settled: 3 epochs more moved it by no more than its standard error"
    )
    assert "not below where it began by more than" in _advise(0.3, *flat)


def test_noise_alone_is_seldom_called_a_fall_or_overfitting() -> None:
    """Of 300 held-out images that a network has learnt all it can of, epochs differ by what each image's loss
    wavers, which is less than what images differ by."""
    generator, wrong, runs = np.random.default_rng(0), 0, 400
    for _ in range(runs):
        images = generator.exponential(0.4, 300)
        epochs = [images * generator.lognormal(0, 0.5, 300) for _ in range(4)]
        records = [
            EpochRecord(n, 1 / n, float(e.mean()), 0.9, 1.0, 1.2, [], [], float(e.std() / math.sqrt(300)))
            for n, e in enumerate(epochs, 1)
        ]
        said = advise(records, 2.3, "a", stopped_improving=False)
        wrong += "still falling" in said or "overfitting" in said
    assert wrong < 0.05 * runs
