from pathlib import Path

import pytest
import torch

from tests.trainer.conftest import train_only
from trainer.evaluate.prediction import Score
from trainer.fit import loop


def test_cycles_end_where_the_loss_falls_no_more_and_the_network_gets_the_weights_of_the_best_end(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, after_one_epoch, _ = train_only(few_digits, tmp_path, epochs=1)
    losses = iter([2.0, 1.0, 1.5, 1.5])  # before the first step, and after each epoch
    monkeypatch.setattr(loop, "score", lambda *_: Score(next(losses), 0.5, 0.01))
    epochs, weights, _ = train_only(few_digits, tmp_path, epochs="auto", max_epochs=7)
    assert [record.heldout_loss for record in epochs] == [1.0, 1.5, 1.5]
    assert [name for name in weights if not torch.equal(weights[name], after_one_epoch[name])] == []
