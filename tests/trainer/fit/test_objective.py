from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from trainer.fit.objective import Objective, balanced_weights
from trainer.images.data import Images
from trainer.images.sources import Sample
from trainer.network.precision import descend

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.2, 0.1]])
TARGETS = torch.tensor([0, 2])


def _losses() -> torch.Tensor:
    return -LOGITS.log_softmax(1)[torch.arange(2), TARGETS]


def test_plain_objective_is_the_mean_negative_log_likelihood() -> None:
    assert Objective()(LOGITS, TARGETS).item() == pytest.approx(_losses().mean().item())


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    smoothed = Objective(label_smoothing=0.3)(LOGITS, TARGETS).item()
    spread = -LOGITS.log_softmax(1).mean(1)
    assert smoothed == pytest.approx((0.7 * _losses() + 0.3 * spread).mean().item())


def test_class_weights_are_relative_to_the_batch() -> None:
    weights = torch.tensor([1.0, 5.0, 3.0])
    weighted = Objective(class_weights=weights)(LOGITS, TARGETS).item()
    assert weighted == pytest.approx(((1 * _losses()[0] + 3 * _losses()[1]) / 4).item())


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    targets = np.repeat([0, 1, 2], [80, 15, 5])
    samples = tuple(Sample(Path("x"), str(target)) for target in targets)
    images = Images(np.zeros((100, 1, 1, 3), np.uint8), np.arange(100), targets, samples)
    weights = balanced_weights(images, 3, torch.device("cpu"))
    assert (weights * torch.tensor([80, 15, 5])).tolist() == pytest.approx([100 / 3] * 3)


@pytest.mark.parametrize(("max_norm", "moved"), [(None, 10.0), (1.0, 1.0), (100.0, 10.0)])
def test_long_gradients_are_clipped_to_the_norm(max_norm: float | None, moved: float) -> None:
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    loss = (parameter * torch.tensor([6.0, 8.0])).sum()
    descend(loss, optimizer, torch.amp.GradScaler("cpu", enabled=False), max_norm)
    assert parameter.norm().item() == pytest.approx(moved, rel=1e-4)
    assert parameter.grad is None
