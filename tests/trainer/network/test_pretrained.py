"""A start from another task's weights, by the code that loads ImageNet's."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.conftest import train_only
from trainer.runs.history import EpochRecord

TRAINING: dict[str, Any] = {"arch": "resnet18", "size": 24, "resize": 24}


def _classes(digits: Path, labels: str, root: Path, most: int | None = None) -> Path:
    """A copy with these classes alone, and at most so many images of each to train on."""
    for label in labels:
        shutil.copytree(digits / "val" / label, root / "val" / label)
        (root / "train" / label).mkdir(parents=True)
        for file in sorted((digits / "train" / label).iterdir())[:most]:
            shutil.copy(file, root / "train" / label)
    return root


@pytest.mark.slow
def test_weights_of_other_digits_beat_a_start_from_scratch_at_equal_epochs(
    digits: Path, tmp_path: Path
) -> None:
    """Trained on 0 to 4, fine-tuned to 5 to 9 with five images of each: where a start from other weights is
    wanted. The mean of three seeds and two learning rates, for the best of each is luck: 179 are held out."""
    low = _classes(digits, "01234", tmp_path / "low")
    few = _classes(digits, "56789", tmp_path / "few", most=5)
    _, network, _ = train_only(low, tmp_path, **TRAINING, batch_size=32, lr=3e-3, epochs=8)
    weights = tmp_path / "weights.pt"
    torch.save(network, weights)

    gains = []
    for seed in range(3):
        fine_tuned, from_scratch = [], []
        for lr in (1e-3, 3e-3):
            options: dict[str, Any] = {**TRAINING, "batch_size": 8, "lr": lr, "seed": seed}
            started: dict[str, Any] = {"weights": str(weights), "frozen_epochs": 1, "epochs": 3}
            fine_tuned.append(train_only(few, tmp_path, **options, **started)[0])
            from_scratch.append(train_only(few, tmp_path, **options, epochs=4)[0])
        assert {len(records) for records in (*fine_tuned, *from_scratch)} == {4}
        gains.append(_mean_accuracy(fine_tuned) - _mean_accuracy(from_scratch))
    assert np.mean(gains) > 0.04


def _mean_accuracy(trainings: list[list[EpochRecord]]) -> float:
    """On the held-out images, at the ends."""
    return float(np.mean([records[-1].heldout_accuracy for records in trainings]))
