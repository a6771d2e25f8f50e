"""What a bundle tells of its model's making, and what of the machine it keeps to itself."""

import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from fovea.images.spec import PreprocessSpec
from tests.trainer.conftest import train_settings
from trainer.learning_rate.decision import fixed_rate, write_decision
from trainer.network.checkpoint import Checkpoint
from trainer.network.model import Network
from trainer.release.model_lineage import lineage_of, settings_of_the_model
from trainer.runs.lineage import Lineage, RunOrigin
from trainer.runs.run_folder import RunFolder


def lineage(folder: Path, origin: RunOrigin) -> Lineage:
    run = RunFolder(folder / "a")
    write_decision(run, fixed_rate(0.02))
    origin.write(run)
    network = Network(torch.nn.Sequential(), torch.nn.Sequential())
    checkpoint = Checkpoint(network, "resnet18", ("cat", "dog"), PreprocessSpec(size=32, resize=32), epochs=4)
    return lineage_of(run, checkpoint, train_settings(folder, folder, seed=7))


@pytest.mark.parametrize("noted", [{}, {"continued_from": "before", "epochs_before": 3}])
def test_what_was_not_noted_of_a_run_is_not_in_its_bundle(noted: dict[str, object], tmp_path: Path) -> None:
    begun = {"data_digest": "d1", "weights_sha256": None, **noted}
    model = lineage(tmp_path, RunOrigin.model_validate(begun))
    record = model.record()
    rate = record.pop("learning_rate")
    assert record.pop("settings") == model.settings
    assert record == {
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
    assert rate == {name: value for name, value in asdict(fixed_rate(0.02)).items() if name != "curve"}
    assert model.settings["seed"] == 7


def test_settings_of_a_model_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    settings = train_settings(tmp_path / "data", tmp_path, seed=7)
    saved = settings_of_the_model(settings)
    everything = settings.model_dump(mode="json")
    assert everything.keys() - saved.keys() == {
        "cache_dir",
        "runs",
        "run_id",
        "models",
        "threads",
        "continue_from",
        "ranks_patience_s",
        *(name for name in everything if name.startswith("log_")),
    }
    assert any(name.startswith("log_") for name in everything)
    assert saved == {name: everything[name] for name in saved}
