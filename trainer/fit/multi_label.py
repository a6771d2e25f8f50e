"""What is minimised where an image may have several labels: each is a yes or no of its own."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.images.batches import Images

Loss = Literal["bce", "asymmetric"]

LARGEST_WEIGHT: Final = 10.0
"""Of what has a label: more would let a few images, and what is mislabelled of them, lead the training."""
NEGATIVE_FOCUS: Final = 4.0
"""Of the asymmetric loss: gamma of what is without a label; of what has it gamma is 0, as in the paper."""
MARGIN: Final = 0.05
"""Of the asymmetric loss: what has this probability at most, and is without the label, costs nothing."""


@dataclass(frozen=True)
class MultiLabelObjective:
    """Binary cross-entropy in nats, the mean over images and labels; or the asymmetric loss.

    Held-out losses are always the plain cross-entropy, so that runs can be compared.
    """

    label_smoothing: float = 0.0
    positive_weights: Tensor | None = None
    """float32 [labels]; what having the label counts beside not having it"""
    loss: Loss = "bce"

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """logits [n, labels], targets 0 and 1 or shares of it [n, labels] -> a scalar.

        Smoothing draws targets towards one half, as binary cross-entropy has it in Keras and timm.
        """
        logits = logits.float()
        wanted = targets.to(logits.dtype)
        if self.label_smoothing:
            wanted = wanted * (1 - self.label_smoothing) + self.label_smoothing / 2
        if self.loss == "bce":
            return F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=self.positive_weights)
        having = wanted * -F.logsigmoid(logits)
        if self.positive_weights is not None:
            having = having * self.positive_weights
        return (having + (1 - wanted) * asymmetric_negative(logits)).mean()

    def weigh(self, targets: Tensor) -> int:
        """Images count alike."""
        return len(targets)


def asymmetric_negative(logits: Tensor) -> Tensor:
    """What being without a label costs, at these logits: -p^4 ln(1 - p), of p = max(sigmoid - 0.05, 0).

    T. Ridnik et al., Asymmetric Loss For Multi-Label Classification, 2021, arXiv 2009.14119.
    """
    shifted = (logits.sigmoid() - MARGIN).clamp(min=0)
    return shifted**NEGATIVE_FOCUS * -torch.log1p(-shifted)


def balanced_positive_weights(images: Images, device: torch.device) -> Tensor:
    """float32 [labels]: images without the label by images with it, 1 to 10."""
    having = images.targets.sum(0)
    weights = np.clip((len(images) - having) / np.maximum(having, 1), 1, LARGEST_WEIGHT)
    return torch.tensor(weights, dtype=torch.float32, device=device)
