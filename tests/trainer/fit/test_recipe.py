from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.fit.recipe import Objective, Phase, Recipe, balanced_weights, phases, schedule_of
from trainer.images.augment import Augmentation
from trainer.images.batches import Images
from trainer.images.sources import Sample
from trainer.learning_rate.schedule import one_cycle

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.2, 0.1]])
TARGETS = torch.tensor([0, 2])


def _recipe(**changes: object) -> Recipe:
    options: dict[str, object] = {
        "lr": 8e-3,
        "batch_size": 8,
        "seed": 0,
        "augmentation": Augmentation(16, 1, 0, flip=False),
        "pretrained": True,
        "frozen_epochs": 1,
        "cycles": [1, 2],
    }
    return Recipe(**{**options, **changes})  # type: ignore[arg-type]


def test_pretrained_network_begins_with_its_head_and_then_moves_its_first_layers_least() -> None:
    assert phases(_recipe()) == [
        Phase(1, 8e-3, 8e-3, frozen=True),
        Phase(1, 4e-5, 4e-3),
        Phase(2, 4e-5, 4e-3),
    ]


def test_random_weights_are_never_frozen() -> None:
    assert phases(_recipe(pretrained=False)) == [Phase(1, 8e-3, 8e-3), Phase(2, 8e-3, 8e-3)]


def test_no_frozen_epochs_is_no_frozen_phase() -> None:
    assert not any(phase.frozen for phase in phases(_recipe(frozen_epochs=0)))


def test_one_cycle_spans_the_phase() -> None:
    rates = schedule_of(_recipe(), 40)
    assert [rates(step, 4e-3) for step in range(40)] == [one_cycle(step, 40, 4e-3) for step in range(40)]


def test_constant_schedule_stays() -> None:
    rates = schedule_of(_recipe(schedule="constant"), 40)
    assert {rates(step, 4e-3).lr for step in range(40)} == {4e-3}


def test_triangle_fills_the_phase_and_begins_at_a_quarter() -> None:
    rates = schedule_of(_recipe(schedule="triangular"), 40)
    lrs = [rates(step, 4e-3).lr for step in range(40)]
    assert lrs[0] == pytest.approx(1e-3)
    assert max(lrs) == lrs[20] == pytest.approx(4e-3)
    assert lrs[39] == pytest.approx(1e-3 + 3e-3 / 20)


def test_three_lower_and_lower_triangles_fill_the_phase() -> None:
    halved = schedule_of(_recipe(schedule="triangular2"), 60)
    tops = [halved(step, 8e-3).lr for step in (10, 30, 50)]
    assert tops == pytest.approx([2e-3 + 6e-3 / 2**number for number in range(3)])
    falling = schedule_of(_recipe(schedule="exp_range", base_lr=1e-3), 60)
    assert [falling(step, 8e-3).lr for step in (10, 30, 50)] == pytest.approx(
        [1e-3 + 7e-3 * 0.01 ** (step / 60) for step in (10, 30, 50)]
    )
    given = schedule_of(_recipe(schedule="exp_range", base_lr=1e-3, gamma=0.9, step_size=5), 60)
    assert given(15, 8e-3).lr == pytest.approx(1e-3 + 7e-3 * 0.9**15)


def test_groups_share_the_triangles_shape() -> None:
    rates = schedule_of(_recipe(schedule="triangular", base_lr=8e-4, step_size=5), 40)
    for step in range(40):
        assert rates(step, 4e-3).lr == pytest.approx(100 * rates(step, 4e-5).lr)
    assert rates(0, 8e-3).lr == pytest.approx(8e-4)
    assert rates(5, 8e-3).lr == rates(15, 8e-3).lr == pytest.approx(8e-3)


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


def test_loss_of_mixed_images_is_that_of_both_classes_in_their_shares() -> None:
    other, share = torch.tensor([1, 0]), 0.7
    one_hot, rest = (torch.nn.functional.one_hot(targets, 3).float() for targets in (TARGETS, other))
    mixed = share * one_hot + (1 - share) * rest
    for smoothing in (0.0, 0.3):
        plain = Objective(smoothing)
        by_parts = share * plain(LOGITS, TARGETS) + (1 - share) * plain(LOGITS, other)
        assert plain(LOGITS, mixed).item() == pytest.approx(by_parts.item())


def test_loss_of_mixed_images_counts_each_class_by_its_weight_relative_to_the_batch() -> None:
    weights, smoothing = torch.tensor([1.0, 5.0, 3.0]), 0.3
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.4, 0.6]])
    smoothed = (1 - smoothing) * mixed + smoothing / 3
    expected = -(weights * smoothed * LOGITS.log_softmax(1)).sum() / (0.7 + 1.5 + 2.0 + 1.8)
    objective = Objective(smoothing, weights)
    assert objective(LOGITS, mixed).item() == pytest.approx(expected.item())
    certain = torch.nn.functional.one_hot(TARGETS, 3).float()
    assert objective(LOGITS, certain).item() == pytest.approx(objective(LOGITS, TARGETS).item())


def test_images_mixed_among_themselves_count_as_they_did_before() -> None:
    objective = Objective(class_weights=torch.tensor([1.0, 5.0, 3.0]))
    assert objective.weigh(TARGETS) == 4.0
    assert Objective().weigh(TARGETS) == 2


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    targets = np.repeat([0, 1, 2], [80, 15, 5])
    samples = tuple(Sample(Path("x"), str(target)) for target in targets)
    images = Images(np.zeros((100, 1, 1, 3), np.uint8), np.arange(100), targets, samples)
    weights = balanced_weights(images, 3, torch.device("cpu"))
    assert (weights * torch.tensor([80, 15, 5])).tolist() == pytest.approx([100 / 3] * 3)
