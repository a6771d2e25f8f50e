"""The options of the recipe reach the training, and the range test leaves it as it would have been."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fovea.errors import SettingsInvalid
from tests.trainer.conftest import train_only, train_settings
from trainer import job
from trainer.learning_rate.schedule import exp_range, triangular
from trainer.preparation import prepare
from trainer.recipe import find_learning_rate
from trainer.runs.history import EpochRecord

STEPS_PER_EPOCH = 6
"""48 images in batches of 8"""


def _rates(records: list[EpochRecord]) -> list[float]:
    return [rate for record in records for rate in record.step_lrs]


@pytest.fixture(scope="module")
def plain(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> list[EpochRecord]:
    return train_only(few_digits, tmp_path_factory.mktemp("plain"))[0]


def test_range_test_changes_no_bit_of_the_training_after_it(few_digits: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"mixup": 0.4, "cutmix": 1.0, "accumulate": 2, "ema": 0.9}
    _, without, _ = train_only(few_digits, tmp_path, **options)
    _, after, decision = train_only(few_digits, tmp_path, range_test=True, **options)
    assert decision.curve is not None
    assert len(decision.curve.losses) > 3
    assert [name for name in without if not torch.equal(without[name], after[name])] == []


def test_range_test_mixes_as_the_training_will(few_digits: Path, tmp_path: Path) -> None:
    losses = []
    for alpha in (0.0, 1.0):
        settings = train_settings(few_digits, tmp_path, arch="squeezenet1_1", num_steps=2, mixup=alpha)
        decision = find_learning_rate(prepare(settings), settings)
        assert decision.curve is not None
        losses.append(decision.curve.losses[0])
    assert losses[0] != losses[1]


def test_each_step_of_range_test_and_training_begins_without_the_gradients_of_the_one_before(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale, step = torch.amp.GradScaler.scale, torch.amp.GradScaler.step
    optimizers: list[torch.optim.Optimizer] = []
    left_over: list[bool] = []

    def begin(scaler: torch.amp.GradScaler, loss: Any) -> Any:
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        left_over.append(any(weights.grad is not None for group in groups for weights in group["params"]))
        return scale(scaler, loss)

    def end(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> float | None:
        optimizers[:] = [optimizer]
        return step(scaler, optimizer)

    monkeypatch.setattr(torch.amp.GradScaler, "scale", begin)
    monkeypatch.setattr(torch.amp.GradScaler, "step", end)
    train_only(few_digits, tmp_path, range_test=True)
    assert len(left_over) > STEPS_PER_EPOCH
    assert not any(left_over)


@pytest.mark.parametrize(
    "option",
    [
        {"sampler": "balanced"},
        {"label_smoothing": 0.2},
        {"max_grad_norm": 1e-3},
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"accumulate": 2},
        {"max_rotation": 0},
        {"seed": 1},
    ],
    ids=lambda option: next(iter(option)),
)
def test_option_changes_the_training(
    option: dict[str, Any], plain: list[EpochRecord], few_digits: Path, tmp_path: Path
) -> None:
    changed, _, _ = train_only(few_digits, tmp_path, **option)
    assert changed[0].step_losses != plain[0].step_losses
    assert all(math.isfinite(loss) for loss in changed[0].step_losses)


def test_class_weights_of_even_classes_change_nothing(
    plain: list[EpochRecord], few_digits: Path, tmp_path: Path
) -> None:
    weighted, _, _ = train_only(few_digits, tmp_path, class_weights="balanced")
    assert weighted[0].step_losses == pytest.approx(plain[0].step_losses, rel=1e-4)


def test_triangular_schedule_moves_between_its_rates(few_digits: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"base_lr": 1e-3, "step_size": 4, "epochs": 2}
    records, _, _ = train_only(few_digits, tmp_path, schedule="triangular", **options)
    expected = [triangular(step, 4, 1e-3, 1e-2).lr for step in range(2 * STEPS_PER_EPOCH)]
    assert _rates(records) == pytest.approx(expected)
    records, _, _ = train_only(few_digits, tmp_path, schedule="exp_range", gamma=0.8, **options)
    lower = [exp_range(step, 4, 1e-3, 1e-2, 0.8).lr for step in range(2 * STEPS_PER_EPOCH)]
    assert _rates(records) == pytest.approx(lower)


def test_triangles_do_not_stand_on_their_tops(few_digits: Path, tmp_path: Path) -> None:
    for schedule in ("triangular", "triangular2", "exp_range"):
        settings = train_settings(few_digits, tmp_path, arch="squeezenet1_1", schedule=schedule, base_lr=0.5)
        with pytest.raises(SettingsInvalid, match=r"--base-lr 0\.5 should be below .* is 0\.01"):
            job.train(settings.model_copy(update={"lr": 0.01, "run_id": schedule}))


def test_triangular_schedule_without_more_is_one_triangle_from_a_quarter(
    few_digits: Path, tmp_path: Path
) -> None:
    records, _, _ = train_only(few_digits, tmp_path, schedule="triangular")
    rates = _rates(records)
    assert rates[0] == pytest.approx(1e-2 / 4)
    assert max(rates) == rates[STEPS_PER_EPOCH // 2] == pytest.approx(1e-2)


def test_constant_schedule_keeps_its_rate(few_digits: Path, tmp_path: Path) -> None:
    records, _, _ = train_only(few_digits, tmp_path, schedule="constant")
    assert set(_rates(records)) == {1e-2}


@pytest.mark.slow
def test_compiled_network_trains_as_the_plain_one(few_digits: Path, tmp_path: Path) -> None:
    from torch._inductor import config  # takes seconds

    with config.patch(fallback_random=True):  # the same dropout
        plain, _, _ = train_only(few_digits, tmp_path, arch="resnet18")
        compiled, weights, _ = train_only(few_digits, tmp_path, arch="resnet18", compile=True)
    assert compiled[0].step_losses[:2] == pytest.approx(plain[0].step_losses[:2], rel=1e-2)
    assert compiled[0].step_losses != plain[0].step_losses  # as it would be had nothing been compiled
    assert not any("_orig_mod" in name for name in weights)
