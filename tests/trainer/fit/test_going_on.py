"""A training that goes on with another number of ranks than it had."""

import logging
import signal
from pathlib import Path

import pytest
import torch

from fovea.errors import Terminated
from fovea.stopping import forget
from tests.trainer.conftest import train_settings
from tests.trainer.interruptions import STEPS_PER_EPOCH, assert_same_end, fit_alone, signal_at
from trainer.config import TrainSettings
from trainer.network.checkpoint import CHECKPOINT_FILE, EPOCH_FILE

SEED = 5


def test_with_another_number_of_ranks_a_training_goes_on_from_its_last_epochs_end(
    few_digits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Or from its beginning; so no epoch is made by some ranks and by others, and wherever it was broken off
    it ends as the new number of ranks, here one, makes it."""
    caplog.set_level(logging.INFO)
    cases = [
        (3, "from its beginning, 3 steps before its last"),
        (STEPS_PER_EPOCH + 2, "from the end of its last epoch, 2 steps before its last"),
    ]
    runs = []
    for step, said in cases:
        run = _broken_off(few_digits, tmp_path, step)
        assert (run / EPOCH_FILE).exists() == (step > STEPS_PER_EPOCH)
        _made_by_ranks(2, run)
        caplog.clear()
        runs.append(fit_alone(_settings(few_digits, tmp_path, run.name)))
        assert f"the run {run.name} had 2 ranks, and has 1 rank now: going on {said}" in caplog.text
        assert not (run / EPOCH_FILE).exists()
    assert_same_end(*runs)


@pytest.mark.slow
def test_without_the_last_epochs_end_it_goes_on_after_its_last_step(
    few_digits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As runs of older versions do; and what is kept of another epoch is not taken for it."""
    run = _broken_off(few_digits, tmp_path, STEPS_PER_EPOCH + 2)
    _made_by_ranks(2, run)
    content = torch.load(run / EPOCH_FILE, weights_only=True)
    content["training"]["state"]["records"] = []
    torch.save(content, run / EPOCH_FILE)
    fit_alone(_settings(few_digits, tmp_path, run.name))
    assert "its last epoch's end was not kept: going on after its last step" in caplog.text


def _settings(data: Path, root: Path, name: str) -> TrainSettings:
    quick = {"arch": "shufflenet_v2_x0_5", "batch_size": 8, "lr": 1e-2, "epochs": 2, "checkpoint_every": 2}
    return train_settings(data, root, run_id=name, ema=0.9, **quick)


def _broken_off(data: Path, root: Path, step: int) -> Path:
    settings = _settings(data, root, f"broken-{step}")
    with pytest.MonkeyPatch.context() as patch:
        signal_at(step, signal.SIGTERM, patch)
        with pytest.raises(Terminated):
            fit_alone(settings)
    forget()
    torch.manual_seed(SEED)  # another process would not have the generator's state
    return settings.runs / str(settings.run_id)


def _made_by_ranks(count: int, run: Path) -> None:
    """Says so in what is kept, as if there had been so many."""
    for name in (CHECKPOINT_FILE, EPOCH_FILE):
        if (run / name).exists():
            content = torch.load(run / name, weights_only=True)
            content["training"]["made_on"]["ranks"] = count
            torch.save(content, run / name)
