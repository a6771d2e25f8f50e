"""Trainings that are broken off by signals, for the tests of what comes after."""

import json
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fovea.errors import Terminated
from fovea.stopping import Stopping, forget
from tests.programs import Program
from tests.trainer.conftest import train_settings
from trainer import job
from trainer.config import TrainSettings
from trainer.fit import loop
from trainer.images.augment import Augmentation, augment
from trainer.learning_rate.decision import fixed_rate
from trainer.network.checkpoint import CHECKPOINT_FILE
from trainer.preparation import prepare
from trainer.recipe import recipe_of

QUICK = {"arch": "squeezenet1_1", "batch_size": 8, "lr": 1e-2, "checkpoint_every": 4}
STEPS_PER_EPOCH = 6
"""48 images in batches of 8"""


def finetuning(data: Path, root: Path, **changes: object) -> TrainSettings:
    options = {**QUICK, "weights": str(root / "weights.pt"), "epochs": "auto", "max_epochs": 3, **changes}
    return train_settings(data, root, **options)


def start_from(data: Path, root: Path) -> None:
    """Weights to fine-tune: without them there would be no frozen phase."""
    torch.manual_seed(1)
    network = prepare(train_settings(data, root, **QUICK)).checkpoint.network
    torch.save(network.state_dict(), root / "weights.pt")


def weights_of(run: Path) -> dict[str, Tensor]:
    content = torch.load(run / CHECKPOINT_FILE, weights_only=True)
    assert isinstance(content["network"], dict)
    return content["network"]


def assert_same_end(run: Path, other: Path) -> None:
    """Weights and losses are equal to the bit."""
    left, right = weights_of(run), weights_of(other)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert step_losses(run) == step_losses(other)


def step_losses(run: Path) -> list[list[float]]:
    return [json.loads(line)["step_losses"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def signal_at(step: int, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process gets the signal while it takes its `step`-th step."""
    taken = iter(range(1, 1000))

    def interrupted(pixels: Tensor, how: Augmentation, *of: Any) -> Tensor:
        if next(taken) == step:
            signal.raise_signal(number)
        return augment(pixels, how, *of)

    monkeypatch.setattr(loop, "augment", interrupted)


def break_off(settings: TrainSettings, step: int) -> None:
    """Trains until SIGTERM comes in that step."""
    with pytest.MonkeyPatch.context() as patch:
        signal_at(step, signal.SIGTERM, patch)
        expect_terminated(settings)


def fit_alone(settings: TrainSettings) -> Path:
    """Trains in the run's folder, or goes on there, and releases nothing. Returns that folder."""
    start = prepare(settings)
    run = settings.runs / str(settings.run_id)
    run.mkdir(parents=True, exist_ok=True)
    assert isinstance(settings.lr, float)
    recipe = recipe_of(settings, start, fixed_rate(settings.lr))
    loop.fit(start.checkpoint, start.data, recipe, start.precision, Stopping(), run)
    return run


def assert_a_break_changes_nothing(step: int, data: Path, root: Path, **options: object) -> None:
    """Of two epochs and one more of such a training, when SIGTERM comes in that step."""
    quick = {"arch": "squeezenet1_1", "batch_size": 8, "lr": 1e-2, "epochs": "auto", "max_epochs": 3}
    straight = fit_alone(train_settings(data, root, **{**quick, **options, "run_id": "straight"}))
    settings = train_settings(data, root, **{**quick, **options, "run_id": "broken"})
    with pytest.MonkeyPatch.context() as patch:
        signal_at(step, signal.SIGTERM, patch)
        with pytest.raises(Terminated):
            fit_alone(settings)
    forget()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(5)  # another process would not have the generators' states
    assert_same_end(fit_alone(settings), straight)


def expect_terminated(settings: TrainSettings) -> None:
    with pytest.raises(Terminated):
        job.train(settings)


def end_training(settings: TrainSettings) -> None:
    """Trains to the end of the last epoch; what would be released then is not looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "release", lambda *_: signal.raise_signal(signal.SIGTERM))
        expect_terminated(settings)


def start(settings: TrainSettings) -> subprocess.Popen[str]:
    """The same training as a process of its own."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    flags = [word for name, value in given.items() for word in _flag(name, value)]
    return Program("trainer", "train", *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _flag(name: str, value: object) -> list[str]:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    return [f"--{option}", ",".join(value) if isinstance(value, tuple) else str(value)]
