"""What each of two ranks checks of all that they do together; a rank that finds it otherwise ends with 1."""

import os
from typing import Any

import numpy as np
import torch
from torch import nn

from fovea import exits
from trainer.ranks.joining import invitation, joined
from trainer.ranks.together import Together


def main() -> None:
    torch.set_num_threads(1)
    invited = invitation(os.environ)
    assert invited is not None
    with joined(invited, "cpu", 60) as ranks:
        for check in (sums, first, buffers, noise, gradients):
            check(ranks)
        ranks.meet()


def sums(ranks: Together) -> None:
    """Also of views, whose memory gloo would take as it lies; of 64-bit whole numbers to the last digit."""
    own = ranks.share.rank
    rows = torch.arange(6.0).reshape(2, 3)
    views = (rows.T, rows.T.contiguous()) if own == 0 else (rows.T.contiguous(), rows.T)
    for view in views:
        assert torch.equal(ranks.mean(view), rows.T)
    images = torch.arange(16.0).reshape(1, 2, 2, 4)
    laid = images.contiguous(memory_format=torch.channels_last) if own == 0 else images
    assert torch.equal(ranks.mean(laid), images)
    logits = np.zeros((3, 2), np.float32)
    logits[own] = own + 1
    assert ranks.total(logits).tolist() == [[1, 1], [2, 2], [0, 0]]


def first(ranks: Together) -> None:
    """What the first one makes comes whole to the others, who make nothing."""
    made = {"weights": torch.arange(5), "name": "a", "losses": [0.1, None], "pair": (1, 2.5)}

    def make() -> dict[str, Any]:
        assert ranks.is_first
        return made

    got = ranks.from_first(make)
    assert torch.equal(got.pop("weights"), torch.arange(5))
    assert got == {"name": "a", "losses": [0.1, None], "pair": (1, 2.5)}
    assert ranks.from_first(lambda: None) is None


def buffers(ranks: Together) -> None:
    """All have the first one's, in whatever format their own lie."""
    torch.manual_seed(ranks.share.rank)
    network = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4))
    if ranks.is_first:
        network.to(memory_format=torch.channels_last)
    network(torch.rand(2, 3, 4, 4))
    ranks.equalise(network)
    torch.manual_seed(0)
    expected = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4))
    expected(torch.rand(2, 3, 4, 4))
    for name, value in expected.state_dict().items():
        assert torch.allclose(network.state_dict()[name], value, atol=1e-6), name
    for value in network.state_dict().values():
        assert torch.equal(ranks.mean(value.double()), value.double())


def noise(ranks: Together) -> None:
    """Outside all draw the same, before and after; inside each draws its own, and the same again."""
    torch.manual_seed(3)
    before = torch.rand(4)
    state = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        torch.set_rng_state(state)
        with ranks.noise("a use"):
            drawn.append(torch.rand(4))
        after = torch.rand(4)
    assert torch.equal(*drawn)
    for same in (before, after):
        assert torch.equal(ranks.mean(same), same)
    other = 2 * ranks.mean(drawn[0]) - drawn[0]
    assert not torch.allclose(other, drawn[0])
    assert not torch.equal(drawn[0], after)


def gradients(ranks: Together) -> None:
    """They are the mean over the ranks, of what learns when the network is wrapped: also after a change."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    ranks.equalise(network)
    for frozen in (True, False, True):
        network[0].requires_grad_(not frozen)
        wrapped = ranks.wrapped(network)
        network.zero_grad()
        for _ in range(2):  # a change after the wrapping shows at the second
            torch.autograd.backward(wrapped(torch.full((1, 2), 1.0 + ranks.share.rank)).sum())
        assert (network[0].weight.grad is None) == frozen
        for parameter in network.parameters():
            if parameter.grad is not None:
                assert torch.equal(ranks.mean(parameter.grad), parameter.grad)
        assert torch.equal(list(network.parameters())[-1].grad, torch.full((1,), 2.0))  # type: ignore[arg-type]


if __name__ == "__main__":
    exits.run(main)
