"""Batches of cached images, in an order that the seed and the epoch fix."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainer.data import Images

Batch = tuple[Tensor, Tensor]
"""pixels uint8 [n, S, S, 3] and targets int64 [n], on the device"""


def steps_per_epoch(images: Images, batch_size: int) -> int:
    return max(1, len(images) // batch_size)


def training_batches(
    images: Images, batch_size: int, device: torch.device, *, seed: int, epoch: int
) -> Iterator[Batch]:
    """One epoch in random order. The rest that fills no batch is left for other epochs' orders to bring."""
    order = np.random.default_rng([seed, epoch]).permutation(len(images))
    for step in range(steps_per_epoch(images, batch_size)):
        yield _batch(images, order[step * batch_size : (step + 1) * batch_size], device)


def endless_batches(images: Images, batch_size: int, device: torch.device, *, seed: int) -> Iterator[Batch]:
    """Epoch after epoch."""
    for epoch in itertools.count():
        yield from training_batches(images, batch_size, device, seed=seed, epoch=epoch)


def all_batches(images: Images, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """Every image once, in order."""
    for start in range(0, len(images), batch_size):
        yield _batch(images, np.arange(start, min(start + batch_size, len(images))), device)


def _batch(images: Images, indices: np.ndarray, device: torch.device) -> Batch:
    pixels = torch.from_numpy(images.pixels(indices))
    return pixels.to(device), torch.from_numpy(images.targets[indices]).to(device)
