"""A run's last state on disk: the network, what is needed to rebuild it, and how to go on training it."""

import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NotRequired, TypedDict, cast

import torch
from torch import Tensor

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.images.spec import PreprocessSpec
from trainer.network.model import Network, build_network
from trainer.network.timm_networks import timm_version
from trainer.options.architectures import is_timm

logger = logging.getLogger(__name__)

CHECKPOINT_FILE: Final = "checkpoint.pt"
EPOCH_FILE: Final = "epoch.pt"
"""the checkpoint of the last epoch's end, while there is one of later steps"""

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
    colours: list[list[float]]
    """mean and deviation of the pixels that the network's input is normalised by; older files have none"""
    timm: NotRequired[str | None]
    """the version of whoever built the network; of timm's alone"""


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

    def save(self, run: Path, training: Mapping[str, object], after_epoch: bool = False) -> None:
        """Writes `run`/checkpoint.pt, whole or not at all; `training` is what `read_training` gives back.

        After an epoch, within the next, `run`/epoch.pt keeps what was saved at its end. Raises Unavailable
        when it cannot be written.
        """
        content: CheckpointContent = {
            "network": self.network.state_dict(),
            "arch": self.arch,
            "labels": list(self.labels),
            "preprocess": self.preprocess.model_dump_json(),
            "epochs": self.epochs,
            "training": training,
            "colours": [self.network.mean.tolist(), self.network.std.tolist()],
        }
        if is_timm(self.arch):
            content["timm"] = timm_version()
        try:
            with tempfile.TemporaryDirectory(dir=run, prefix=".checkpoint-") as folder:
                written = _write(content, Path(folder, CHECKPOINT_FILE))
                if after_epoch:
                    _keep_epochs_end(run, Path(folder, EPOCH_FILE))
                written.replace(run / CHECKPOINT_FILE)
            if not after_epoch:
                (run / EPOCH_FILE).unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:  # torch raises the second for a full disk
            raise Unavailable(f"{run / CHECKPOINT_FILE}: cannot be written: {error}") from error

    @classmethod
    def load(cls, run: Path) -> "Checkpoint":
        """Raises DataInvalid when there is none, or it is damaged; SettingsInvalid where its network cannot
        be built here. Warns where another timm made it.
        """
        content = _read(run / CHECKPOINT_FILE)
        _tell_of_another_timm(content, run)
        try:
            spec = PreprocessSpec.model_validate_json(content["preprocess"])
            network = build_network(content["arch"], len(content["labels"]), spec.size)
            network.load_state_dict(content["network"])
            for own, kept in zip((network.mean, network.std), content.get("colours", ()), strict=False):
                own.copy_(torch.tensor(kept))  # a newer timm may say others
            return cls(network, content["arch"], tuple(content["labels"]), spec, content["epochs"])
        except SettingsInvalid:
            raise
        except Exception as error:
            raise _damaged(run / CHECKPOINT_FILE) from error


def read_training(run: Path, file: str = CHECKPOINT_FILE) -> tuple[Weights, Mapping[str, object]] | None:
    """The network's weights and the training that `save` was given, None where there is no such file.

    Raises DataInvalid when it is damaged. Warns where another timm made it.
    """
    if not (run / file).is_file():
        return None
    content = _read(run / file)
    if not {"network", "training"} <= content.keys():
        raise _damaged(run / file)
    if file == CHECKPOINT_FILE:
        _tell_of_another_timm(content, run)
    return content["network"], content["training"]


def _write(content: CheckpointContent, path: Path) -> Path:
    with path.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    return path


def _keep_epochs_end(run: Path, link: Path) -> None:
    """The first save after an epoch's end finds that one's checkpoint still there."""
    if not (run / EPOCH_FILE).exists() and (run / CHECKPOINT_FILE).exists():
        try:
            link.hardlink_to(run / CHECKPOINT_FILE)
        except OSError:  # a file system without links
            shutil.copyfile(run / CHECKPOINT_FILE, link)
        link.replace(run / EPOCH_FILE)


def _read(path: Path) -> CheckpointContent:
    if not path.is_file():
        raise DataInvalid(f"{path.parent}: not a training run (there is no {path.name} in it)")
    try:
        return cast("CheckpointContent", {**torch.load(path, map_location="cpu", weights_only=True)})
    except Exception as error:  # pickle raises whatever a damaged file makes it
        raise _damaged(path) from error


def _tell_of_another_timm(content: CheckpointContent, run: Path) -> None:
    """Whatever is refused next may come of it; and what is not may be another network's answers."""
    before, now = content.get("timm"), timm_version()
    if before and now and before != now:
        logger.warning(
            "the run %s was made with timm %s, and this is timm %s, whose %s may be another network",
            run,
            before,
            now,
            content["arch"],
        )


def _damaged(path: Path) -> DataInvalid:
    # Not with torch's text: it advises to load what it refuses without the check that refused it.
    return DataInvalid(f"{path}: damaged, or not a checkpoint of this trainer")
