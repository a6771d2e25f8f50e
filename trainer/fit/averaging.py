"""The exponential moving average of a network's weights, which is scored and released in their place.

torch's AveragedModel, with two things otherwise. Its decay begins low, so that a short training's average
does not hold on to its first steps. And the statistics of batch norm are averaged with the weights that they
are of (by default AveragedModel takes over the last ones), while counters are taken over, which it would
average and so leave behind.
"""

from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from trainer.network.model import Network

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(network: Network, decay: float) -> AveragedModel:
    """A copy of the network, which each `update_parameters` moves towards it: the first one up to it."""

    @torch.no_grad()
    def move(averages: Tensors, now: Tensors, _: Tensor | int) -> None:
        """Tensors of one dtype."""
        if averages[0].is_floating_point():
            # The count that comes along lies on the tensors' device: to read it would wait for that.
            torch._foreach_lerp_(averages, now, 1 - decay_after(int(average.n_averaged), decay))
            return
        for mine, other in zip(averages, now, strict=True):
            mine.copy_(other)

    average = AveragedModel(network, multi_avg_fn=move, use_buffers=True)
    return average


def decay_after(updates: int, decay: float) -> float:
    """What the average keeps of itself at the next step: `decay`, or while that is less (1 + n) / (10 + n),
    with which it reaches back over about a tenth of the steps (TensorFlow's ExponentialMovingAverage)."""
    return min(decay, (1 + updates) / (10 + updates))


def network_of(average: AveragedModel) -> Network:
    """Whose state dict has the network's own names."""
    return cast("Network", average.module)
