"""Augmentation of a whole batch on its device: every image has its own crop, rotation and mirroring."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

WIDEST_ASPECT = 4 / 3
"""of a crop; less where crops are to be nearly whole, so that `min_crop` 1 cuts nothing"""


@dataclass(frozen=True)
class Augmentation:
    """How far images are changed."""

    size: int
    """side of the crop, in pixels"""
    min_crop: float
    """smallest share of the area that a crop keeps"""
    max_rotation: float
    """in degrees, to either side"""
    flip: bool


def augment(pixels: Tensor, how: Augmentation) -> Tensor:
    """pixels uint8 [n, R, R, 3] -> float32 [n, size, size, 3] in [0, 255].

    Crop, aspect ratio, rotation and mirroring are composed into one affine map an image, so the image is
    interpolated once. Random numbers come from torch's generator of the pixels' device.
    """
    maps = random_maps(len(pixels), how, pixels.device)
    grid = F.affine_grid(maps, [len(pixels), 3, how.size, how.size], align_corners=False)
    images = pixels.permute(0, 3, 1, 2).float()
    cropped = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return cropped.permute(0, 2, 3, 1)


def random_maps(count: int, how: Augmentation, device: torch.device) -> Tensor:
    """float32 [count, 2, 3]: from output to input coordinates, both in [-1, 1], as grid_sample wants them."""
    area = _uniform(count, how.min_crop, 1, device)
    widest = math.log(min(WIDEST_ASPECT, 1 / how.min_crop))
    aspect = _uniform(count, -widest, widest, device).exp()
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    angle = _uniform(count, -math.radians(how.max_rotation), math.radians(how.max_rotation), device)
    centre_x = _uniform(count, -1, 1, device) * (1 - width)
    centre_y = _uniform(count, -1, 1, device) * (1 - height)
    mirror = torch.where(_uniform(count, 0, 1, device) < (0.5 if how.flip else 0), -1.0, 1.0)
    rows = [
        torch.stack([mirror * width * angle.cos(), -height * angle.sin(), centre_x], 1),
        torch.stack([mirror * width * angle.sin(), height * angle.cos(), centre_y], 1),
    ]
    return torch.stack(rows, 1)


def _uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    return low + (high - low) * torch.rand(count, device=device)
