"""Batches whose gradients are added up train as one large batch does, whatever their images count."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.conftest import train_only, train_settings
from tests.trainer.interruptions import assert_a_break_changes_nothing
from trainer import recipe as recipes
from trainer.fit.recipe import Objective
from trainer.learning_rate.decision import fixed_rate
from trainer.network.gradients import Outcome, add_gradients
from trainer.network.model import Network
from trainer.network.precision import Precision
from trainer.preparation import prepare
from trainer.ranks.group import Part

STILL: dict[str, Any] = {"min_crop": 1.0, "max_rotation": 0, "max_warp": 0.0, "max_lighting": 0.0}
"""Augmentation that changes nothing: parts would draw other numbers than the whole."""


def _gradients(images: int, parts: int, objective: Objective) -> tuple[Outcome, list[int], list[Tensor]]:
    """Of a small model, with the sizes of the parts that it saw."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    pixels, targets = torch.rand(images, 2, 2, 3), torch.arange(images) % 3
    sizes: list[int] = []

    def prepare(some: Tensor, own: Tensor, _: Part) -> tuple[Tensor, Tensor]:
        sizes.append(len(some))
        return some, own

    cpu = Precision(torch.device("cpu"), torch.float32)
    outcome = add_gradients(
        model,
        (pixels, targets),
        prepare,
        objective,
        cpu,
        cpu.scaler(),
        parts=parts,
        weigh=objective.weigh,
    )
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return outcome, sizes, gradients


@pytest.mark.parametrize(
    ("images", "parts", "sizes"),
    [(8, 4, [2, 2, 2, 2]), (10, 4, [3, 3, 2, 2]), (5, 4, [3, 2]), (3, 4, [3]), (1, 4, [1])],
)
def test_parts_have_the_gradients_loss_and_accuracy_of_the_whole(
    images: int, parts: int, sizes: list[int]
) -> None:
    for objective in (Objective(), Objective(0.3, torch.tensor([0.2, 1.0, 7.0]))):
        whole, _, expected = _gradients(images, 1, objective)
        outcome, seen, gradients = _gradients(images, parts, objective)
        assert seen == sizes
        assert len(gradients) == 4
        torch.testing.assert_close(gradients, expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(outcome, whole, rtol=0, atol=1e-6)


def test_named_class_is_right_by_its_share_where_targets_are_mixed() -> None:
    cpu = Precision(torch.device("cpu"), torch.float32)
    logits = nn.Parameter(torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]]))
    shares = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.0, 1.0]])
    outcome = add_gradients(
        lambda _: logits,
        (shares, torch.zeros(3)),
        lambda some, *_: (some, shares),
        Objective(),
        cpu,
        cpu.scaler(),
    )
    assert outcome.accuracy.item() == pytest.approx((0.75 + 0.25 + 0.0) / 3)
    assert outcome.loss.item() == pytest.approx(Objective()(logits, shares).item())


def test_training_and_range_test_with_accumulation_are_those_of_one_large_batch(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Batch norm would see other batches, and dropout draw other numbers.
    monkeypatch.setattr(Network, "train", lambda network, mode=True: nn.Module.train(network, mode=False))
    # The parts have other shares of the classes than the whole.
    monkeypatch.setattr(recipes, "balanced_weights", lambda *_: torch.tensor([0.5, 1.5]))
    # At a thousandth the curve's last step makes 1e-4 of a rounding's difference, on some processors.
    options = {**STILL, "lr": 1e-3, "epochs": 2, "end_lr": 3e-4, "range_test": True}
    options["class_weights"] = "balanced"
    large, weights, decision = train_only(few_digits, tmp_path, batch_size=16, **options)
    parts, same, of_parts = train_only(few_digits, tmp_path, batch_size=4, accumulate=4, **options)
    assert [len(record.step_losses) for record in parts] == [3, 3]
    for one, other in zip(parts, large, strict=True):
        assert one.step_losses == pytest.approx(other.step_losses, abs=1e-5)
        assert one.step_lrs == other.step_lrs
    torch.testing.assert_close(same, weights, rtol=0, atol=1e-5)
    assert decision.curve is not None
    assert of_parts.curve is not None
    assert len(of_parts.curve.losses) == len(decision.curve.losses) == 16
    assert of_parts.curve.losses == pytest.approx(decision.curve.losses, abs=1e-5)
    assert of_parts.curve.accuracies == pytest.approx(decision.curve.accuracies)


def test_more_batches_than_there_are_make_one_step_of_all(
    few_digits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for batch_size, accumulate, possible in ((20, 65536, 3), (20, 3, 3), (24, 4, 2), (64, 2, 1)):
        caplog.clear()
        settings = train_settings(
            few_digits, tmp_path, arch="squeezenet1_1", batch_size=batch_size, accumulate=accumulate
        )
        recipe = recipes.recipe_of(settings, prepare(settings), fixed_rate(1e-3))
        assert recipe.accumulate == possible
        said = f"--accumulate {accumulate}: there are images for {possible} batches"
        assert (said in caplog.text) == (accumulate > possible)


def test_accumulation_and_mixing_go_on_after_a_break(few_digits: Path, tmp_path: Path) -> None:
    options = {"accumulate": 2, "mixup": 0.4, "cutmix": 1.0, "schedule": "triangular2"}
    assert_a_break_changes_nothing(3, few_digits, tmp_path, **options)
