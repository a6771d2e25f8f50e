"""The kernels of the first convolution, as images: what the network looks for first."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import nn

from fovea.images.preprocess import Pixels
from trainer.network.model import Network

MOST_KERNELS: Final = 64
COLUMNS: Final = 16


@dataclass(frozen=True)
class FirstKernels:
    """The first layer's kernels, each an image of its own scale: grey is 0."""

    name: str
    """of the layer"""
    shape: tuple[int, int, int, int]
    """kernels, channels, height, width"""
    stride: tuple[int, int]
    images: Pixels
    """uint8 [n, height, width, 3], n at most 64"""

    @property
    def sheet(self) -> Pixels:
        """All of them in rows of 16, a transparent pixel apart: uint8 RGBA."""
        count, height, width, _ = self.images.shape
        columns = min(COLUMNS, count)
        rows = -(-count // columns)
        sheet = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
        for index, image in enumerate(self.images):
            top, left = (index // columns) * (height + 1), (index % columns) * (width + 1)
            sheet[top : top + height, left : left + width, :3] = image
            sheet[top : top + height, left : left + width, 3] = 255
        return sheet


def first_kernels(network: Network) -> FirstKernels:
    """Every architecture begins with a convolution over red, green and blue."""
    name, layer = next((n, m) for n, m in network.backbone.named_modules() if isinstance(m, nn.Conv2d))
    weights = layer.weight.detach().float().cpu().numpy()  # [kernels, 3, height, width]
    first = weights[:MOST_KERNELS]
    largest = np.abs(first).max((1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * first / np.maximum(largest, np.finfo(np.float32).tiny)
    return FirstKernels(
        name=name,
        shape=weights.shape,
        stride=(layer.stride[0], layer.stride[1]),
        images=(255 * scaled).round().astype(np.uint8).transpose(0, 2, 3, 1),
    )
