"""The command on the page makes the same settings again."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from fovea.settings import as_saved, load
from trainer.config import TrainSettings
from trainer.release.model_lineage import settings_of_the_model
from trainer.report.reproduction import command_again


def again(settings: TrainSettings, continued_from: str | None = None) -> list[str]:
    command = command_again(settings_of_the_model(settings), "pets", settings.threads, continued_from)
    words = shlex.split(" ".join(command))
    assert words[:4] == ["python", "-m", "trainer", "train"]
    return words[4:]


@pytest.mark.parametrize(
    "options",
    [
        {"data": "digits"},
        {"data": ("photos, 2025.csv", "reviewed.csv", "re,viewed.csv")},
        {"data": "it's my photos", "arch": "resnet18", "lr": 0.003, "epochs": "auto", "flip": False},
        {"data": "s3://photos", "precisions": ("fp32", "int8"), "compile": True, "max_grad_norm": 1.0},
        {"data": "digits", "size": 32, "resize": 40, "mode": "linear", "seed": 7},
        {"data": "photos", "schedule": "triangular", "base_lr": 1e-5, "mode": "linear", "end_lr": 0.5},
        {
            "data": "photos",
            "schedule": "exp_range",
            "gamma": 0.99,
            "ema": 0.999,
            "accumulate": 4,
            "mixup": 0.2,
            "sizes": (128, 224),
            "fit": "pad",
        },
    ],
)
def test_the_command_gives_the_settings_that_the_run_had(options: dict[str, Any]) -> None:
    before = TrainSettings(models="models/pets", threads=3, **options)
    after = load(TrainSettings, again(before), "train")
    assert as_saved(after) == as_saved(before)


def test_the_command_of_a_default_run_is_short() -> None:
    settings = TrainSettings(data="digits", models="models/pets", threads=2)
    assert again(settings) == ["--data", "digits", "--models", "models/pets", "--threads", "2"]


def test_a_run_that_continued_another_names_it_and_not_its_weights() -> None:
    settings = TrainSettings(
        data="photos", models="models/pets", weights="none", frozen_epochs=0, continue_from=Path("runs/first")
    )
    words = again(settings, "first")
    assert words[-4:-2] == ["--continue-from", "first"]
    assert not {"--weights", "--frozen-epochs"} & set(words)
