"""Clipped gradients, and weights that lie in memory as they were asked to."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainer.conftest import train_only
from tests.trainer.interruptions import assert_a_break_changes_nothing
from trainer.network.model import lay_out_as_weights
from trainer.network.precision import choose_precision, clip_gradients
from trainer.options import AutoOrSwitch

FIRST, LAST = torch.contiguous_format, torch.channels_last


@pytest.mark.parametrize(("max_norm", "moved"), [(None, 10.0), (1.0, 1.0), (100.0, 10.0)])
def test_long_gradients_are_clipped_to_the_norm(max_norm: float | None, moved: float) -> None:
    parameter = nn.Parameter(torch.zeros(2))
    optimizer, scaler = torch.optim.SGD([parameter], lr=1.0), torch.amp.GradScaler("cpu", init_scale=4.0)
    loss = (parameter * torch.tensor([6.0, 8.0])).sum()
    torch.autograd.backward(scaler.scale(loss))
    clip_gradients(optimizer, scaler, max_norm)
    scaler.step(optimizer)
    assert parameter.norm().item() == pytest.approx(moved, rel=1e-4)


def test_channels_are_last_on_a_cpu_for_images_that_are_not_small_or_where_it_is_asked_for() -> None:
    cases: tuple[tuple[AutoOrSwitch, torch.memory_format, torch.memory_format], ...] = (
        ("auto", FIRST, LAST),
        ("off", FIRST, FIRST),
        ("on", LAST, LAST),
    )
    for switch, of_small, of_large in cases:
        assert choose_precision("cpu", 1, switch, size=96).memory_format == of_small
        assert choose_precision("cpu", 1, switch, size=128).memory_format == of_large


def test_channels_last_is_the_same_training_and_goes_on_after_a_break(
    few_digits: Path, tmp_path: Path
) -> None:
    calm: dict[str, Any] = {"arch": "resnet18", "lr": 1e-4}  # at high rates differences in the last bits grow
    plain, _, _ = train_only(few_digits, tmp_path, **calm)
    records, weights, _ = train_only(few_digits, tmp_path, **calm, channels_last="on")
    assert records[0].step_losses == pytest.approx(plain[0].step_losses, abs=0.02)
    kernels = [value for value in weights.values() if value.dim() == 4 and value.shape[2] > 1]
    assert kernels
    assert all(value.is_contiguous(memory_format=LAST) for value in kernels)
    assert not all(value.is_contiguous() for value in kernels)
    assert_a_break_changes_nothing(3, few_digits, tmp_path, channels_last="on", ema=0.9)


def test_optimizer_goes_on_with_each_weights_own_moments_in_another_memory_format() -> None:
    ends = []
    for later in (LAST, torch.contiguous_format):
        torch.manual_seed(0)
        weight, gradients = torch.randn(4, 3, 5, 5), torch.randn(3, 4, 3, 5, 5)
        before = _optimizer(weight, LAST)
        for gradient in gradients[:2]:
            _step(before, gradient)
        after = _optimizer(before.param_groups[0]["params"][0].detach(), later)
        after.load_state_dict(before.state_dict())
        lay_out_as_weights(after)
        _step(after, gradients[2])
        ends.append(after.param_groups[0]["params"][0].detach())
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-6)


def _optimizer(weight: torch.Tensor, memory_format: torch.memory_format) -> torch.optim.AdamW:
    laid_out = weight.clone(memory_format=memory_format)
    return torch.optim.AdamW([nn.Parameter(laid_out)], lr=0.1, fused=True)


def _step(optimizer: torch.optim.AdamW, gradient: torch.Tensor) -> None:
    weight = optimizer.param_groups[0]["params"][0]
    weight.grad = torch.empty_like(weight).copy_(gradient)
    optimizer.step()
