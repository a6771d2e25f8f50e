import pytest
import torch
from torch import nn

from trainer.network.precision import clip_gradients


@pytest.mark.parametrize(("max_norm", "moved"), [(None, 10.0), (1.0, 1.0), (100.0, 10.0)])
def test_long_gradients_are_clipped_to_the_norm(max_norm: float | None, moved: float) -> None:
    parameter = nn.Parameter(torch.zeros(2))
    optimizer, scaler = torch.optim.SGD([parameter], lr=1.0), torch.amp.GradScaler("cpu", init_scale=4.0)
    loss = (parameter * torch.tensor([6.0, 8.0])).sum()
    torch.autograd.backward(scaler.scale(loss))
    clip_gradients(optimizer, scaler, max_norm)
    scaler.step(optimizer)
    assert parameter.norm().item() == pytest.approx(moved, rel=1e-4)
