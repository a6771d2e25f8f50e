import math

import pytest
from torch import nn

from fovea.errors import DataInvalid
from trainer.fit.early_stopping import PhaseDecision, after_phase, check_finite
from trainer.fit.recipe import Phase
from trainer.fit.state import begin
from trainer.runs.history import EpochRecord

CYCLE = Phase(epochs=1, lowest_lr=1e-3, highest_lr=1e-3)
FROZEN = Phase(epochs=1, lowest_lr=1e-3, highest_lr=1e-3, frozen=True)


def record(heldout_loss: float, train_loss: float = 1.0) -> EpochRecord:
    return EpochRecord(1, train_loss, heldout_loss, 0.5, 1.0, 1.0, [train_loss], [1e-3])


def decide(loss: float, best: float, kept_loss: float, upcoming: int = 1) -> PhaseDecision:
    return after_phase(CYCLE, [CYCLE] * upcoming, record(loss), best, kept_loss)


def test_cycles_go_on_while_the_loss_falls_and_the_lowest_one_is_kept() -> None:
    fell, rose = decide(1.0, best=2.0, kept_loss=1.5), decide(3.0, best=2.0, kept_loss=2.5)
    assert (fell.goes_on, fell.improved, fell.is_lowest, fell.best_loss) == (True, True, True, 1.0)
    assert (rose.goes_on, rose.improved, rose.is_lowest, rose.best_loss) == (False, False, False, 2.0)


def test_first_cycle_is_followed_though_the_loss_rose() -> None:
    first = decide(3.0, best=2.0, kept_loss=math.inf)
    assert (first.goes_on, first.improved, first.is_lowest, first.best_loss) == (True, False, True, 2.0)


def test_last_cycle_is_the_end_though_the_loss_fell() -> None:
    assert not decide(1.0, best=2.0, kept_loss=math.inf, upcoming=0).goes_on


def test_frozen_phase_is_followed_whatever_it_came_to_and_is_what_the_first_cycle_starts_from() -> None:
    decision = after_phase(FROZEN, [CYCLE], record(3.0), 2.0, math.inf)
    assert decision == PhaseDecision(goes_on=True, best_loss=3.0)


def test_loss_that_is_not_finite_ends_the_training() -> None:
    check_finite(record(1.0), lr=0.1)
    for diverged in (record(math.nan), record(1.0, train_loss=math.inf)):
        with pytest.raises(DataInvalid, match=r"epoch 1 is not finite; try an --lr below 0\.1$"):
            check_finite(diverged, lr=0.1)


def test_log_says_what_follows_a_cycle(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    state = begin(2.0, epochs_before=0)
    state.records.append(record(1.0))
    state.end_phase(decide(1.0, best=2.0, kept_loss=math.inf), nn.Linear(1, 1))  # type: ignore[arg-type]
    assert caplog.messages == state.decisions
    assert caplog.messages[0].startswith("held-out loss fell")
