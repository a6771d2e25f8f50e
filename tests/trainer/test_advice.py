from trainer.advice import advise, after_cycle
from trainer.history import EpochRecord


def _records(*losses: tuple[float, float]) -> list[EpochRecord]:
    """From (training loss, held-out loss)."""
    return [
        EpochRecord(epoch, train, heldout, 0.9, 1.0, 1.2, [train], [1e-3])
        for epoch, (train, heldout) in enumerate(losses, 1)
    ]


def test_falling_loss_runs_more_epochs_and_says_so() -> None:
    said = after_cycle(2.3, 0.8, 1, 2, goes_on=True)
    assert said == "held-out loss fell from 2.3000 to 0.8000 over 1 epoch: running 2 more epochs"


def test_first_cycle_without_a_fall_is_early_to_tell() -> None:
    said = after_cycle(2.3, 6.1, 1, 2, goes_on=True)
    assert "did not fall from 2.3000 to 6.1000 over 1 epoch, which is early to tell" in said


def test_loss_that_stopped_falling_ends_the_cycles() -> None:
    said = after_cycle(0.2, 0.3, 2, 4, goes_on=False)
    assert said.endswith("did not fall from 0.2000 to 0.3000 over 2 epochs: stopping here")


def test_only_what_could_go_on_is_stopped() -> None:
    assert after_cycle(0.6654, 0.6688, 1, None, goes_on=False).endswith(": no more epochs were asked for")


def _advise(before: float, *losses: tuple[float, float], frozen: int = 0) -> str:
    return advise(_records(*losses)[frozen:], before, "a", stopped_improving=False)


def test_one_epoch_that_helped_is_a_start() -> None:
    said = _advise(2.3, (1.0, 0.9))
    assert said.startswith("one epoch is a start, and held-out loss fell: run more epochs with")
    assert said.endswith("`--continue-from a --epochs 2`")


def test_one_epoch_that_did_not_help_is_not_called_a_fall() -> None:
    said = _advise(0.6654, (0.7, 0.6688))
    assert "did not fall in the one epoch, which is early to tell" in said


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


def test_settled_loss_advises_nothing_more() -> None:
    assert "settled" in _advise(2.3, (1.0, 0.9), (0.5, 0.400), (0.4, 0.401))
    assert "not below where it began" in _advise(0.3, (1.0, 0.9), (0.5, 0.400), (0.4, 0.401))
