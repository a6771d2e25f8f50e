"""A run's last state on disk: the network, what is needed to rebuild it, and how to go on training it."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, cast

import torch
from torch import Tensor

from fovea.errors import DataInvalid, Unavailable
from fovea.images.preprocess import PreprocessSpec
from trainer.network.model import Network, build_network

CHECKPOINT_FILE = "checkpoint.pt"

Weights = dict[str, Tensor]
"""A network's, by the names of its state dict."""


class CheckpointContent(TypedDict):
    """checkpoint.pt, in types that load safely."""

    network: Weights
    arch: str
    labels: list[str]
    preprocess: str
    """a PreprocessSpec as JSON"""
    epochs: int
    training: Mapping[str, object]
    """how to go on"""


@dataclass(frozen=True)
class Checkpoint:
    """A network with its labels, image preparation and the number of epochs behind it."""

    network: Network
    arch: str
    labels: tuple[str, ...]
    preprocess: PreprocessSpec
    epochs: int

    def at(self, epochs: int) -> "Checkpoint":
        """The same network, some epochs later."""
        return replace(self, epochs=epochs)

    def save(self, run: Path, training: Mapping[str, object]) -> None:
        """Writes `run`/checkpoint.pt, whole or not at all; `training` is what `read_training` gives back.

        Raises Unavailable when it cannot be written.
        """
        content: CheckpointContent = {
            "network": self.network.state_dict(),
            "arch": self.arch,
            "labels": list(self.labels),
            "preprocess": self.preprocess.model_dump_json(),
            "epochs": self.epochs,
            "training": training,
        }
        try:
            with tempfile.TemporaryDirectory(dir=run, prefix=".checkpoint-") as folder:
                _write(content, Path(folder, CHECKPOINT_FILE)).replace(run / CHECKPOINT_FILE)
        except (OSError, RuntimeError) as error:  # torch raises the second for a full disk
            raise Unavailable(f"{run / CHECKPOINT_FILE}: cannot be written: {error}") from error

    @classmethod
    def load(cls, run: Path) -> "Checkpoint":
        """Raises DataInvalid when there is none, or it is damaged."""
        content = _read(run)
        try:
            spec = PreprocessSpec.model_validate_json(content["preprocess"])
            network = build_network(content["arch"], len(content["labels"]), spec.size)
            network.load_state_dict(content["network"])
            return cls(network, content["arch"], tuple(content["labels"]), spec, content["epochs"])
        except Exception as error:
            raise _damaged(run) from error


def read_training(run: Path) -> tuple[Weights, Mapping[str, object]] | None:
    """The network's weights and the training that `save` was given, None where there is no checkpoint.

    Raises DataInvalid when it is damaged.
    """
    if not (run / CHECKPOINT_FILE).is_file():
        return None
    content = _read(run)
    if not {"network", "training"} <= content.keys():
        raise _damaged(run)
    return content["network"], content["training"]


def _write(content: CheckpointContent, path: Path) -> Path:
    with path.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    return path


def _read(run: Path) -> CheckpointContent:
    path = run / CHECKPOINT_FILE
    if not path.is_file():
        raise DataInvalid(f"{run}: not a training run (there is no {CHECKPOINT_FILE} in it)")
    try:
        return cast("CheckpointContent", {**torch.load(path, map_location="cpu", weights_only=True)})
    except Exception as error:  # pickle raises whatever a damaged file makes it
        raise _damaged(run) from error


def _damaged(run: Path) -> DataInvalid:
    # Not with torch's text: it advises to load what it refuses without the check that refused it.
    return DataInvalid(f"{run / CHECKPOINT_FILE}: damaged, or not a checkpoint of this trainer")
