from trainer.advice import advise, after_cycle
from trainer.history import EpochRecord


def _records(*losses: tuple[float, float]) -> list[EpochRecord]:
    """From (training loss, held-out loss)."""
    return [
        EpochRecord(epoch, train, heldout, 0.9, 1.0, [train], [1e-3])
        for epoch, (train, heldout) in enumerate(losses, 1)
    ]


def test_falling_loss_runs_more_epochs_and_says_so() -> None:
    said = after_cycle(2.3, 0.8, 1, 2)
    assert said == "held-out loss fell from 2.3000 to 0.8000 over 1 epoch: running 2 more epochs"


def test_first_cycle_without_a_fall_is_early_to_tell() -> None:
    assert "did not fall from 2.3000 to 6.1000 over 1 epoch, which is early to tell" in after_cycle(
        2.3, 6.1, 1, 2
    )


def test_loss_that_stopped_falling_ends_the_cycles() -> None:
    assert after_cycle(0.2, 0.3, 2, None).endswith(
        "did not fall from 0.2000 to 0.3000 over 2 epochs: stopping here"
    )


def test_loss_that_still_falls_advises_twice_the_epochs() -> None:
    assert "--epochs 4" in advise(_records((1.0, 0.9), (0.5, 0.4)), stopped_improving=False)


def test_rising_heldout_loss_under_falling_training_loss_is_overfitting() -> None:
    said = advise(_records((1.0, 0.9), (0.5, 0.4), (0.2, 0.6)), stopped_improving=False)
    assert said.startswith("overfitting since epoch 2")


def test_settled_loss_advises_nothing_more() -> None:
    assert "settled" in advise(_records((1.0, 0.9), (0.5, 0.400), (0.4, 0.401)), stopped_improving=False)
