"""A convolution of the network on a patch of a real image, with all its numbers, to be done by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fovea.errors import FoveaError
from fovea.images.preprocess import Pixels
from trainer.explain.layers import first_layer
from trainer.explain.patches import Patch, most_varied_patch
from trainer.explain.pictures import Floats
from trainer.network.model import Network

CHANNELS_SHOWN: Final = 3
POSITIONS: Final = {1: 5, 2: 4}
"""Stride -> most positions a side; with a stride of 2 the kernel passes over more of the input."""
TOLERANCE: Final = 1e-4
DIGITS: Final = 7
"""Significant digits of what the page is given: about a float32's."""

Doubles = npt.NDArray[np.float64]


class ArithmeticWrong(FoveaError):
    """A convolution by hand does not give what torch gives."""


@dataclass(frozen=True)
class Channel:
    """One input channel's part in the convolution."""

    index: int
    values: list[list[float]]
    """the patch, with the zeros of the padding"""
    weights: list[list[float]]
    """the kernel's slice for this channel"""


class ChannelNumbers(TypedDict):
    values: list[list[float]]
    weights: list[list[float]]


class ConvolutionNumbers(TypedDict):
    """What the page's script computes with: see WorkedConvolution."""

    side: int
    stride: int
    channels: list[ChannelNumbers]
    rest: list[list[float]]
    bias: float
    expected: list[list[float]]


@dataclass(frozen=True)
class WorkedConvolution:
    """One kernel of one layer over one patch of its input."""

    layer: str
    side: int
    """of the kernel: 3 or 1"""
    stride: int
    padding: int
    input_shape: tuple[int, int, int]
    """channels, height, width"""
    output_shape: tuple[int, int, int]
    kernel: int
    """which of the layer's kernels: the one whose map differs most between places"""
    group: int
    """input channels that a kernel sees: all, or those of its group"""
    patch: Patch
    channels: tuple[Channel, ...]
    """those that contribute most to this patch, the most first; all of them where there are three"""
    rest: list[list[float]]
    """for each position what the other channels add up to"""
    bias: float
    expected: list[list[float]]
    """for each position what torch gives"""

    @property
    def others(self) -> int:
        """Number of input channels that `rest` stands for."""
        return self.group - len(self.channels)

    def numbers(self) -> ConvolutionNumbers:
        return {
            "side": self.side,
            "stride": self.stride,
            "channels": [{"values": c.values, "weights": c.weights} for c in self.channels],
            "rest": self.rest,
            "bias": self.bias,
            "expected": self.expected,
        }


def worked_convolution(network: Network, pixels: Pixels, side: int) -> WorkedConvolution | None:
    """The first convolution with kernels of `side` x `side` that the image, uint8 [S, S, 3], passes through;
    None where the architecture has none that slides.

    Raises ArithmeticWrong unless the numbers, added up by hand, give torch's own result.
    """
    first = first_layer(network, pixels, side)
    if first is None:
        return None
    worked = _work_out(*first)
    verify(worked)
    return worked


def sums(worked: WorkedConvolution) -> Iterator[list[float]]:
    """Row by row what the page computes: window times kernel, added up over positions and channels."""
    for row, others in enumerate(worked.rest):
        yield [
            worked.bias + other + sum(_by_hand(channel, row, column, worked) for channel in worked.channels)
            for column, other in enumerate(others)
        ]


def verify(worked: WorkedConvolution) -> None:
    """Raises ArithmeticWrong, naming the first position, where `sums` are not what torch gives."""
    for row, pair in enumerate(zip(sums(worked), worked.expected, strict=True)):
        for column, (ours, theirs) in enumerate(zip(*pair, strict=True)):
            if not abs(ours - theirs) <= TOLERANCE * max(1.0, abs(theirs)):
                raise ArithmeticWrong(
                    f"{worked.layer}: by hand the convolution gives {ours:g} at row {row}, column {column}, "
                    f"where torch gives {theirs:g}"
                )


def _by_hand(channel: Channel, row: int, column: int, worked: WorkedConvolution) -> float:
    top, left = row * worked.stride, column * worked.stride
    return sum(
        channel.values[top + y][left + x] * channel.weights[y][x]
        for y in range(worked.side)
        for x in range(worked.side)
    )


@torch.no_grad()
def _work_out(name: str, layer: nn.Conv2d, values: Tensor) -> WorkedConvolution:
    weight, bias = layer.weight.float().cpu(), None if layer.bias is None else layer.bias.float().cpu()
    stride, padding, side = layer.stride[0], int(layer.padding[0]), layer.kernel_size[0]
    output = functional.conv2d(values, weight, bias, stride, padding, groups=layer.groups)[0].numpy()
    kernel = int(output.std((1, 2)).argmax())
    patch = most_varied_patch(output[kernel], values.shape[2], POSITIONS[stride], side, stride, padding)
    group = weight.shape[1]
    first = kernel // (len(weight) // layer.groups) * group
    seen = patch.cut(values[0, first : first + group].numpy())
    parts = _parts(seen, weight[kernel].numpy(), patch)
    most = np.argsort(-np.abs(parts).sum((1, 2)), kind="stable")[:CHANNELS_SHOWN]
    if group == CHANNELS_SHOWN:
        most = np.arange(group)  # red, green and blue keep their order
    return WorkedConvolution(
        layer=name,
        side=side,
        stride=stride,
        padding=padding,
        input_shape=(values.shape[1], values.shape[2], values.shape[3]),
        output_shape=(output.shape[0], output.shape[1], output.shape[2]),
        kernel=kernel,
        group=group,
        patch=patch,
        channels=tuple(
            Channel(first + int(c), _listed(seen[c]), _listed(weight[kernel, c].numpy())) for c in most
        ),
        rest=_listed(parts.sum(0) - parts[most].sum(0)),
        bias=0.0 if bias is None else float(bias[kernel]),
        expected=_listed(output[kernel][patch.rows, patch.columns]),
    )


def _parts(seen: Floats, weights: Floats, patch: Patch) -> Doubles:
    """What each channel adds to each position: [C, positions, positions]. Not with torch, to check it."""
    windows = np.lib.stride_tricks.sliding_window_view(seen, weights.shape[1:], axis=(1, 2))
    windows = windows[:, :: patch.stride, :: patch.stride].astype(np.float64)
    parts: Doubles = np.einsum("crsyx,cyx->crs", windows, weights.astype(np.float64))
    return parts


def _listed(values: npt.NDArray[np.floating[Any]]) -> list[list[float]]:
    return [[float(f"{value:.{DIGITS}g}") for value in row] for row in values]
