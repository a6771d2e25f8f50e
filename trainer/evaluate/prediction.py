"""A network on the held-out images."""

from dataclasses import dataclass

import numpy as np
import torch

from trainer.evaluate.label_metrics import (
    label_losses,
    mean_average_precision,
    sigmoid,
    standard_error,
)
from trainer.evaluate.metrics import Logits, Targets, loss_error, negative_log_likelihood, softmax
from trainer.images.batches import Images, all_batches
from trainer.network.model import Network
from trainer.ranks.group import ALONE, Ranks


@dataclass(frozen=True)
class Score:
    """loss: mean negative log likelihood in nats; accuracy: in [0, 1]; error: the loss's standard error"""

    loss: float
    accuracy: float
    error: float
    map: float | None = None
    """mean average precision, of several labels an image: `accuracy` is then the share of images all of whose
    labels are told at a threshold of one half"""


def score(network: Network, images: Images, batch_size: int, ranks: Ranks = ALONE) -> Score:
    logits = predict(network, images, batch_size, ranks)
    if images.task == "multi":
        return _score_labels(logits, images.targets)
    probabilities = softmax(logits)
    return Score(
        negative_log_likelihood(probabilities, images.targets),
        float((probabilities.argmax(1) == images.targets).mean()),
        loss_error(probabilities, images.targets),
    )


def _score_labels(logits: Logits, targets: Targets) -> Score:
    probabilities = sigmoid(logits)
    losses = label_losses(probabilities, targets).mean(1)
    return Score(
        float(losses.mean()),
        float(((probabilities >= 0.5) == targets).all(1).mean()),
        standard_error(losses),
        mean_average_precision(probabilities, targets),
    )


@torch.inference_mode()
def predict(network: Network, images: Images, batch_size: int, ranks: Ranks = ALONE) -> Logits:
    """Logits float32 [n, classes], computed in float32 and evaluation mode; the mode is put back.

    Ranks share the batches, which are the same for any number of them, and all have all logits in the end.
    """
    device, was_training = network.mean.device, network.training
    # One array for all: small ones that stay, made between large ones that go, would leave the C library with
    # gaps that the next batch does not fit into, and memory would grow by every image.
    logits: Logits = np.zeros((len(images), network.classes), np.float32)
    network.eval()
    starts = range(0, len(images), batch_size)
    mine = ranks.share.every(starts)
    for start, (pixels, _) in zip(mine, all_batches(images, batch_size, device, mine), strict=True):
        logits[start : start + len(pixels)] = network(pixels).cpu().numpy()
        ranks.check()
    for _ in range(len(mine), ranks.share.turns(starts)):
        ranks.check()  # as often as the others
    network.train(was_training)
    return ranks.total(logits)
