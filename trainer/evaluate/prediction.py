"""A network on the held-out images."""

from dataclasses import dataclass

import numpy as np
import torch

from trainer.evaluate.metrics import Logits, loss_error, negative_log_likelihood, softmax
from trainer.images.batches import Images, all_batches
from trainer.network.model import Network


@dataclass(frozen=True)
class Score:
    """loss: mean negative log likelihood in nats; accuracy: in [0, 1]; error: the loss's standard error"""

    loss: float
    accuracy: float
    error: float


def score(network: Network, images: Images, batch_size: int) -> Score:
    probabilities = softmax(predict(network, images, batch_size))
    return Score(
        negative_log_likelihood(probabilities, images.targets),
        float((probabilities.argmax(1) == images.targets).mean()),
        loss_error(probabilities, images.targets),
    )


@torch.inference_mode()
def predict(network: Network, images: Images, batch_size: int) -> Logits:
    """Logits float32 [n, classes], computed in float32 and evaluation mode; the mode is put back."""
    device, was_training = network.mean.device, network.training
    # One array for all: small ones that stay, made between large ones that go, would leave the C library with
    # gaps that the next batch does not fit into, and memory would grow by every image.
    logits: Logits = np.empty((len(images), network.classes), np.float32)
    network.eval()
    done = 0
    for pixels, _ in all_batches(images, batch_size, device):
        logits[done : done + len(pixels)] = network(pixels).cpu().numpy()
        done += len(pixels)
    network.train(was_training)
    return logits
