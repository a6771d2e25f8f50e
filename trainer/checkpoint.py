"""A run's last state on disk: the network and what is needed to rebuild it."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fovea.errors import DataInvalid
from fovea.preprocess import PreprocessSpec
from fovea.storage import LocalFolder
from trainer.model import Network, build_network

CHECKPOINT_FILE = "checkpoint.pt"


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

    def save(self, run: Path) -> None:
        """Writes `run`/checkpoint.pt, whole or not at all."""
        data = io.BytesIO()
        content = {
            "network": self.network.state_dict(),
            "arch": self.arch,
            "labels": list(self.labels),
            "preprocess": self.preprocess.model_dump_json(),
            "epochs": self.epochs,
        }
        torch.save(content, data)
        LocalFolder(run).write(CHECKPOINT_FILE, data.getvalue())

    @classmethod
    def load(cls, run: Path) -> "Checkpoint":
        """Raises DataInvalid when there is none, or it is damaged."""
        path = run / CHECKPOINT_FILE
        if not path.is_file():
            raise DataInvalid(f"{run}: not a training run (there is no {CHECKPOINT_FILE} in it)")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            spec = PreprocessSpec.model_validate_json(content["preprocess"])
            network = build_network(content["arch"], len(content["labels"]), spec.size)
            network.load_state_dict(content["network"])
            return cls(network, content["arch"], tuple(content["labels"]), spec, content["epochs"])
        except Exception as error:  # pickle raises whatever a damaged file makes it
            # Not with its text: torch advises to load what it refuses without the check that refused it.
            raise DataInvalid(f"{path}: damaged, or not a checkpoint of this trainer") from error
