"""Images mixed with others of their batch, and their targets in the same shares: mixup and CutMix."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Mixing:
    """What is done; where both are, a coin decides for each batch."""

    classes: int
    mixup: float = 0.0
    """alpha of the Beta distribution that a batch's share is drawn from; 0 for none"""
    cutmix: float = 0.0
    """the same, for CutMix"""


def mix(images: Tensor, targets: Tensor, mixing: Mixing | None) -> tuple[Tensor, Tensor]:
    """images float32 [n, S, S, 3], targets int64 [n], or [n, labels] of 0 and 1 -> images, and float32
    [n, classes] of shares.

    Each image is mixed with another one, or itself, so that all are partners once; the batch has one share,
    as both papers have it (arXiv 1710.09412, 1905.04899). Without mixing, both come back as they are.
    """
    if mixing is None:
        return images, targets
    partners = torch.randperm(len(images), device=images.device)
    cut = mixing.cutmix > 0 and (mixing.mixup == 0 or bool(torch.rand(()) < 0.5))
    share = _draw_share(mixing.cutmix if cut else mixing.mixup)
    mixed, share = _cutmix(images, partners, share) if cut else _mixup(images, partners, share)
    own = (F.one_hot(targets, mixing.classes) if targets.ndim == 1 else targets).float()
    return mixed, share * own + (1 - share) * own[partners]


def _draw_share(alpha: float) -> float:
    # By the CPU's generator: to read a number of the device's would wait for the device.
    return float(torch.distributions.Beta(alpha, alpha).sample())


def _mixup(images: Tensor, partners: Tensor, share: float) -> tuple[Tensor, float]:
    return share * images + (1 - share) * images[partners], share


def _cutmix(images: Tensor, partners: Tensor, share: float) -> tuple[Tensor, float]:
    """A rectangle comes from the partner: of the image's shape and 1 - share of its area, about a random
    pixel; of what lies outside the image nothing comes, and the share is what is really left."""
    height, width = images.shape[1:3]
    rows, columns = _span(height, share), _span(width, share)
    mixed = images.clone()
    mixed[:, rows, columns] = images[partners, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (height * width)


def _span(length: int, share: float) -> slice:
    centre, half = int(torch.randint(length, ())), int(length * (1 - share) ** 0.5) // 2
    return slice(max(0, centre - half), min(length, centre + half))
