"""What the bundle of a run's model tells of where it comes from."""

import importlib.metadata
import platform
from typing import Final

import torch

from fovea.settings import SavedSettings, as_saved
from trainer.config import TrainSettings
from trainer.network.checkpoint import Checkpoint
from trainer.options.architectures import is_timm
from trainer.runs.lineage import ChosenRate, Lineage, RunOrigin
from trainer.runs.random_split import read_random_split
from trainer.runs.run_folder import DECISION_FILE, RunFolder

LOCAL: Final = {"cache_dir", "runs", "run_id", "models", "threads", "continue_from", "ranks_patience_s"}
"""Settings that tell of the machine and not of the model."""


def lineage_of(run: RunFolder, checkpoint: Checkpoint, settings: TrainSettings) -> Lineage:
    decision = run.read_json(DECISION_FILE)
    del decision["curve"]
    origin, random_split = RunOrigin.read(run), read_random_split(run)
    return Lineage(
        run=run.path.name,
        architecture=checkpoint.arch,
        weights=settings.weights,
        **origin.model_dump(exclude_unset=True),
        **({"random_split": random_split} if random_split else {}),
        learning_rate=ChosenRate(**decision),
        epochs=checkpoint.epochs,
        seed=settings.seed,
        versions={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            **{name: importlib.metadata.version(name) for name in ("torchvision", "onnx")},
            **({"timm": importlib.metadata.version("timm")} if is_timm(checkpoint.arch) else {}),
        },
        settings=settings_of_the_model(settings),
    )


def settings_of_the_model(settings: TrainSettings) -> SavedSettings:
    """Without what tells of the machine and the moment alone."""
    saved = as_saved(settings)
    return {name: saved[name] for name in saved if name not in LOCAL and not name.startswith("log_")}
