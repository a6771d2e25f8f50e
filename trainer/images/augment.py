"""Augmentation of a whole batch on its device: every image has its own crop, tilt, mirroring and light."""

import math
from dataclasses import dataclass, replace

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
    max_warp: float = 0.0
    """how far perspective tilts a crop: opposite sides are seen as (1 - warp) to (1 + warp) at most"""
    max_lighting: float = 0.0
    """largest change of brightness, and of contrast, as a share of it"""
    reduced: float = 1.0
    """what images are scaled by first, as if they had been read for a smaller size"""

    def at(self, size: int) -> "Augmentation":
        """For a network that sees images of another size: of the same part of the image, as large."""
        return replace(self, size=size, reduced=self.reduced * size / self.size)


def augment(pixels: Tensor, augmentation: Augmentation) -> Tensor:
    """pixels uint8 [n, R, R, 3] -> float32 [n, size, size, 3] in [0, 255].

    Crop, aspect ratio, rotation, mirroring and perspective are composed into one map an image, so the image
    is interpolated once; what lies outside is mirrored in. Random numbers come from torch's generator of the
    pixels' device.
    """
    with torch.autocast(
        pixels.device.type, enabled=False
    ):  # coordinates in half precision would be pixels off
        grid = _grid(random_maps(len(pixels), augmentation, pixels.device), augmentation.size)
        images = _reduce(pixels.permute(0, 3, 1, 2).float(), augmentation.reduced)
        cropped = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        lit = _light(cropped, augmentation.max_lighting) if augmentation.max_lighting else cropped
    return lit.permute(0, 2, 3, 1)


def random_maps(count: int, augmentation: Augmentation, device: torch.device) -> Tensor:
    """float32 [count, 3, 3]: homographies from output to input coordinates, both in [-1, 1]."""
    area = _uniform(count, augmentation.min_crop, 1, device)
    widest = math.log(min(WIDEST_ASPECT, 1 / augmentation.min_crop))
    aspect = _uniform(count, -widest, widest, device).exp()
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    angle = _uniform(
        count, -math.radians(augmentation.max_rotation), math.radians(augmentation.max_rotation), device
    )
    centre_x = _uniform(count, -1, 1, device) * (1 - width)
    centre_y = _uniform(count, -1, 1, device) * (1 - height)
    mirror = torch.where(_uniform(count, 0, 1, device) < (0.5 if augmentation.flip else 0), -1.0, 1.0)
    zero, one = torch.zeros_like(area), torch.ones_like(area)
    rows = [
        torch.stack([mirror * width * angle.cos(), -height * angle.sin(), centre_x], 1),
        torch.stack([mirror * width * angle.sin(), height * angle.cos(), centre_y], 1),
        torch.stack([zero, zero, one], 1),
    ]
    affine = torch.stack(rows, 1)
    return affine @ _perspectives(count, augmentation.max_warp, device) if augmentation.max_warp else affine


def _perspectives(count: int, max_warp: float, device: torch.device) -> Tensor:
    """float32 [count, 3, 3]: tilted about both axes, and as much larger as keeps the middles of all four
    sides inside."""
    tilt_x, tilt_y = (_uniform(count, -max_warp, max_warp, device) for _ in range(2))
    scale = 1 - torch.maximum(tilt_x.abs(), tilt_y.abs())
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    rows = [
        torch.stack([scale, zero, zero], 1),
        torch.stack([zero, scale, zero], 1),
        torch.stack([tilt_x, tilt_y, one], 1),
    ]
    return torch.stack(rows, 1)


def _reduce(images: Tensor, factor: float) -> Tensor:
    """[n, 3, R, R] -> as many of a smaller side, each pixel the mean of those that it stands for."""
    if factor == 1:
        return images
    side = max(1, round(images.shape[2] * factor))
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def _grid(maps: Tensor, size: int) -> Tensor:
    """float32 [n, size, size, 2]: where each output pixel's centre lies in the input, for grid_sample."""
    centres = (2 * torch.arange(size, device=maps.device) + 1) / size - 1
    x, y = centres[None, None, :], centres[None, :, None]
    across, down, depth = (
        maps[:, row, 0, None, None] * x + maps[:, row, 1, None, None] * y + maps[:, row, 2, None, None]
        for row in range(3)
    )
    return torch.stack([across / depth, down / depth], 3)


def _light(images: Tensor, largest: float) -> Tensor:
    """Contrast about each image's mean, then brightness; images [n, 3, h, w] in [0, 255] stay there."""
    shape = (len(images), 1, 1, 1)
    contrast, brightness = (
        _uniform(len(images), 1 - largest, 1 + largest, images.device).view(shape) for _ in range(2)
    )
    means = images.mean((1, 2, 3), keepdim=True)
    return (((images - means) * contrast + means) * brightness).clamp(0, 255)


def _uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    return low + (high - low) * torch.rand(count, device=device)
