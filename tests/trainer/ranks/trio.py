"""What each of three ranks checks: the sum of three depends on their order, and the order on nothing."""

import os

import torch
from torch import Tensor, nn

from fovea import exits
from trainer.ranks.joining import invitation, joined
from trainer.ranks.together import Together

LAYERS, SIDE = 6, 50


def main() -> None:
    torch.set_num_threads(1)
    invited = invitation(os.environ)
    assert invited is not None
    with joined(invited, "cpu", 60) as ranks:
        gradients_are_averaged_in_the_order_of_the_ranks(ranks)
        ranks.meet()


def gradients_are_averaged_in_the_order_of_the_ranks(ranks: Together) -> None:
    """In the first step, after which torch lays them out anew, and in those that follow; also where all are
    so many that the ranks' parts of them differ."""
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Linear(SIDE, SIDE) for _ in range(LAYERS)), nn.Linear(SIDE, 3))
    wrapped = ranks.wrapped(network)
    inputs = [torch.randn(2, SIDE) for _ in range(ranks.share.world)]
    own = [_gradients(network, pixels) for pixels in inputs]
    expected = [sum(one[1:], one[0].clone()) / ranks.share.world for one in zip(*own, strict=True)]
    for _ in range(3):
        network.zero_grad()
        torch.autograd.backward(wrapped(inputs[ranks.share.rank]).sum())
        for parameter, mean in zip(network.parameters(), expected, strict=True):
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, mean)


def _gradients(network: nn.Module, pixels: Tensor) -> list[Tensor]:
    loss = network(pixels).sum()
    return list(torch.autograd.grad(loss, list(network.parameters())))


if __name__ == "__main__":
    exits.run(main)
