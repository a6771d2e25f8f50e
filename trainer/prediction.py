"""A network on the held-out images."""

from dataclasses import dataclass

import numpy as np
import torch

from trainer.batches import all_batches
from trainer.data import Images
from trainer.metrics import Logits, negative_log_likelihood, softmax
from trainer.model import Network


@dataclass(frozen=True)
class Score:
    """loss: mean negative log likelihood in nats; accuracy: in [0, 1]"""

    loss: float
    accuracy: float


def score(network: Network, images: Images, batch_size: int) -> Score:
    probabilities = softmax(predict(network, images, batch_size))
    return Score(
        negative_log_likelihood(probabilities, images.targets),
        float((probabilities.argmax(1) == images.targets).mean()),
    )


@torch.inference_mode()
def predict(network: Network, images: Images, batch_size: int) -> Logits:
    """Logits float32 [n, classes], computed in float32 and evaluation mode; the mode is put back."""
    device, was_training = network.mean.device, network.training
    network.eval()
    logits = [network(pixels).cpu().numpy() for pixels, _ in all_batches(images, batch_size, device)]
    network.train(was_training)
    return np.concatenate(logits)
