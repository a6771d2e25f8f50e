"""Where a training stands: all that a later process needs to go on as if nothing had happened."""

import math
import random
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainer.history import EpochRecord

Weights = dict[str, Tensor]


@dataclass
class TrainingState:
    """What the loop changes as it goes, but for the weights that are being trained."""

    first_loss: float
    """held-out loss before the first step, in nats"""
    best_loss: float
    """lowest held-out loss at the end of a phase, or before the first cycle"""
    epochs_before: int
    """epochs behind the weights that this run began with"""
    kept_epoch: int
    """the epoch whose weights are the best of all cycles' ends"""
    kept_loss: float = math.inf
    kept_weights: Weights = field(default_factory=dict)
    phase: int = 0
    """number of the phase that is under way, from 0"""
    epochs_in_phase: int = 0
    """epochs of it that are done"""
    step_losses: list[Tensor | float] = field(default_factory=list)
    """of the epoch that is under way; on the device until they are read"""
    step_lrs: list[float] = field(default_factory=list)
    train_s: float = 0.0
    records: list[EpochRecord] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    improved: bool = True
    """whether the last cycle ended below the best loss before it"""
    finished: bool = False
    optimizer: dict[str, Any] | None = None
    """of a phase that was broken off, until it goes on"""
    scaler: dict[str, Any] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """Epochs behind the network's weights."""
        return self.epochs_before + len(self.records)

    def keep_loss(self, loss: Tensor) -> None:
        """Of the step that was just taken.

        On a CUDA device it stays until the epoch's end: to read it would wait for the device. On a CPU it
        must not stay as a tensor: its few bytes, kept amid the batch's freed memory, leave a gap that the
        next batch does not fit into, and memory grows by a batch a step.
        """
        self.step_losses.append(loss.item() if loss.device.type == "cpu" else loss.detach())

    def add(self, record: EpochRecord) -> None:
        """An epoch is done."""
        self.records.append(record)
        self.epochs_in_phase += 1
        self.step_losses, self.step_lrs, self.train_s = [], [], 0.0

    def end_phase(self) -> None:
        self.phase, self.epochs_in_phase = self.phase + 1, 0

    def keep(self, network: nn.Module, loss: float) -> None:
        """These weights are the best so far."""
        self.kept_epoch, self.kept_loss = self.epoch, loss
        self.kept_weights = {name: value.clone() for name, value in network.state_dict().items()}

    def finish(self, network: nn.Module) -> None:
        """No more steps: the network gets the best weights."""
        network.load_state_dict(self.kept_weights)
        self.kept_weights, self.finished = {}, True

    def to_save(self) -> dict[str, Any]:
        """Tensors, numbers, texts, lists and dicts alone. Waits for the device."""
        saved = {name: value for name, value in vars(self).items() if name not in {"optimizer", "scaler"}}
        saved["records"] = [asdict(record) for record in self.records]
        return saved | {"step_losses": read_losses(self.step_losses)}

    @classmethod
    def from_saved(
        cls, saved: dict[str, Any], optimizer: dict[str, Any] | None, scaler: dict[str, Any]
    ) -> "TrainingState":
        records = [EpochRecord(**record) for record in saved["records"]]
        return cls(**{**saved, "records": records}, optimizer=optimizer, scaler=scaler)


def read_losses(losses: list[Tensor | float]) -> list[float]:
    """As numbers; those on a device come over in one copy, for each copy waits for the device."""
    read = [loss for loss in losses if isinstance(loss, float)]
    waiting = [loss for loss in losses if isinstance(loss, Tensor)]
    return [*read, *(torch.stack(waiting).tolist() if waiting else [])]


def generators() -> dict[str, Any]:
    """The states of the random generators of python, numpy, torch and CUDA, in types that load safely."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_generators(states: dict[str, Any]) -> None:
    """CUDA's are left alone where the number of devices is another."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
