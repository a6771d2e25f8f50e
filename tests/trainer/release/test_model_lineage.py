"""What a bundle tells of its model's making, and what of the machine it keeps to itself."""

import platform
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from fovea.images.preprocess import PreprocessSpec
from tests.trainer.conftest import train_settings
from trainer.learning_rate.decision import fixed_rate
from trainer.lineage import Lineage, RunOrigin
from trainer.network.checkpoint import Checkpoint
from trainer.network.model import Network
from trainer.release.lineage import lineage_of, settings_of_the_model
from trainer.run_folder import RunFolder


def lineage(folder: Path, origin: RunOrigin) -> Lineage:
    run = RunFolder(folder / "a")
    run.write_json("lr_find.json", fixed_rate(0.02).record())
    origin.write(run)
    network = Network(torch.nn.Sequential(), torch.nn.Sequential())
    checkpoint = Checkpoint(network, "resnet18", ("cat", "dog"), PreprocessSpec(size=32, resize=32), epochs=4)
    return lineage_of(run, checkpoint, train_settings(folder, folder, seed=7))


@pytest.mark.parametrize("noted", [{}, {"continued_from": "before", "epochs_before": 3}])
def test_what_was_not_noted_of_a_run_is_not_in_its_bundle(noted: dict[str, object], tmp_path: Path) -> None:
    begun = {"data_digest": "d1", "weights_sha256": None, **noted}
    told = lineage(tmp_path, RunOrigin.model_validate(begun)).record()
    rate, settings = told.pop("learning_rate"), told.pop("settings")
    assert told == {
        "run": "a",
        "architecture": "resnet18",
        "weights": "none",
        **begun,
        "epochs": 4,
        "seed": 7,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": version("torchvision"),
            "onnx": version("onnx"),
        },
    }
    assert rate == {name: value for name, value in fixed_rate(0.02).record().items() if name != "curve"}
    assert settings["seed"] == 7


def test_settings_of_a_model_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    settings = train_settings(tmp_path / "data", tmp_path, seed=7)
    kept = settings_of_the_model(settings)
    everything = settings.model_dump(mode="json")
    assert everything.keys() - kept.keys() == {
        "cache_dir",
        "runs",
        "run_id",
        "models",
        "threads",
        "continue_from",
        *(name for name in everything if name.startswith("log_")),
    }
    assert any(name.startswith("log_") for name in everything)
    assert kept == {name: everything[name] for name in kept}
