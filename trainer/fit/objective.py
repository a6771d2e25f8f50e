"""What training minimises."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.images.data import Images


@dataclass(frozen=True)
class Objective:
    """Cross entropy in nats, with smoothed targets and with classes that count more than others.

    Held-out losses are always the plain one, so that runs can be compared.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    """float32 [classes]; an image's loss counts by its class, relative to the others of its batch"""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """logits [n, classes], targets int64 [n] -> a scalar."""
        return F.cross_entropy(
            logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing
        )


def balanced_weights(images: Images, classes: int, device: torch.device) -> Tensor:
    """float32 [classes]: n / (classes * images of the class), so that every class counts the same in all."""
    counts = np.bincount(images.targets, minlength=classes)
    weights = len(images) / (classes * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32, device=device)
