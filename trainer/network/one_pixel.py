"""Convolutions of feature maps that are one pixel: of their kernels one tap counts, all others meet padding.

A resnet's last layers see such maps in images of 32 pixels and less, and have most of its weights. Engines
read, lay out and differentiate whole kernels all the same, which is most of what a small image costs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def use_one_tap_of_one_pixel(network: nn.Module) -> None:
    """Changes how its convolutions compute, not what; parameters and their names stay as they are."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _tap(module) is not None:
            module.__class__ = OneTapConv2d


class OneTapConv2d(nn.Conv2d):
    """[n, C, h, w] -> as nn.Conv2d; by one tap where h and w are 1. Exported it is nn.Conv2d's own graph."""

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[2:] != (1, 1) or torch.compiler.is_exporting():
            return super().forward(features)
        weight = self.weight.flatten(2)[:, :, _tap(self)]  # a view whose gradient is filled and written once
        if self.groups == 1:
            return F.linear(features.flatten(1), weight, self.bias)[:, :, None, None]
        return F.conv2d(features, weight[:, :, None, None], self.bias, groups=self.groups)


def _tap(convolution: nn.Conv2d) -> int | None:
    """The place in the kernel, row by row, that meets the pixel of a map of one; None where the kernel has no
    other place or none for it, and where the output is not one pixel."""
    if convolution.padding_mode != "zeros" or isinstance(convolution.padding, str):
        return None
    place = 0
    for size, padding, dilation, stride in zip(
        convolution.kernel_size, convolution.padding, convolution.dilation, convolution.stride, strict=True
    ):
        spare = 2 * padding - dilation * (size - 1)
        if padding % dilation or not 0 <= spare < stride or padding > dilation * (size - 1):
            return None
        place = place * size + padding // dilation
    return place if convolution.kernel_size != (1, 1) else None
