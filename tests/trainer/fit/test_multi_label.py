"""What is minimised where an image may have several labels."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainer.fit.multi_label import MultiLabelObjective, balanced_positive_weights
from trainer.images.batches import Images
from trainer.images.listing import Sample
from trainer.images.mixing import Mixing, mix
from trainer.network.gradients import _right
from trainer.network.model import begin_at_prior, build_network

LOGITS = torch.tensor([[2.0, -1.0, 0.0], [-3.0, 0.5, 4.0]])
TARGETS = torch.tensor([[1, 0, 1], [0, 1, 0]])


def test_it_is_the_mean_cross_entropy_of_each_decision() -> None:
    expected = F.binary_cross_entropy(LOGITS.sigmoid(), TARGETS.float())
    assert MultiLabelObjective()(LOGITS, TARGETS).item() == pytest.approx(expected.item(), abs=1e-6)
    assert MultiLabelObjective().weigh(TARGETS) == 2


def test_smoothing_draws_targets_towards_one_half() -> None:
    expected = F.binary_cross_entropy(LOGITS.sigmoid(), TARGETS.float() * 0.8 + 0.1)
    assert MultiLabelObjective(0.2)(LOGITS, TARGETS).item() == pytest.approx(expected.item(), abs=1e-6)


def test_positive_weights_count_what_has_the_label_alone() -> None:
    weighted = MultiLabelObjective(positive_weights=torch.tensor([3.0, 1.0, 1.0]))
    extra = weighted(LOGITS, TARGETS) - MultiLabelObjective()(LOGITS, TARGETS)
    assert extra.item() == pytest.approx(2 * -F.logsigmoid(torch.tensor(2.0)).item() / 6, abs=1e-6)


@pytest.mark.parametrize("logit", [-8.0, -2.0, 0.0, 3.0])
def test_the_asymmetric_loss_is_the_papers(logit: float) -> None:
    p = 1 / (1 + np.exp(-logit))
    shifted = max(p - 0.05, 0)
    objective, one = MultiLabelObjective(loss="asymmetric"), torch.tensor([[logit]])
    negative = objective(one, torch.tensor([[0]])).item()
    assert negative == pytest.approx(-(shifted**4) * np.log(1 - shifted), abs=1e-6)
    assert objective(one, torch.tensor([[1]])).item() == pytest.approx(-np.log(p), abs=1e-5)


@pytest.mark.parametrize("loss", ["bce", "asymmetric"])
def test_a_step_against_its_gradient_makes_each_loss_less(loss: str) -> None:
    objective = MultiLabelObjective(0.1, torch.tensor([2.0, 1.0, 1.0]), loss)  # type: ignore[arg-type]
    logits = LOGITS.clone().requires_grad_()
    before = objective(logits, TARGETS)
    (gradient,) = torch.autograd.grad(before, logits)
    assert torch.isfinite(gradient).all()
    assert objective(LOGITS - 0.1 * gradient, TARGETS) < before


def test_balanced_weights_are_without_by_with_and_bounded() -> None:
    marks = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]] * 25, np.int64)
    sample = Sample(Path("a.png"), "no label", labels=())
    images = Images(np.zeros((1, 1, 1, 3), np.uint8), np.zeros(100, np.int64), marks, (sample,) * 100)
    weights = balanced_positive_weights(images, torch.device("cpu"))
    assert weights.tolist() == [1.0, 3.0, 10.0]


def test_mixed_images_have_their_labels_in_the_same_shares() -> None:
    torch.manual_seed(0)
    pictures = torch.arange(2.0)[:, None, None, None].expand(2, 4, 4, 3)
    mixed, shares = mix(pictures, TARGETS, Mixing(3, mixup=0.4))
    second = mixed[:, 0, 0, 0, None]
    assert shares == pytest.approx((1 - second) * TARGETS[0] + second * TARGETS[1], abs=1e-6)


def test_accuracy_in_training_is_how_often_an_image_has_its_first_named_label() -> None:
    assert _right(LOGITS.argmax(1), TARGETS).item() == 1


def test_a_new_head_begins_at_what_labels_have_without_looking() -> None:
    torch.manual_seed(0)
    network = build_network("squeezenet1_1", 2, 32)
    begin_at_prior(network, np.array([0.25, 0.0]))
    bias = network.head[-1].bias
    assert bias.sigmoid().tolist() == pytest.approx([0.25, 0.001], abs=1e-6)  # type: ignore[operator]
