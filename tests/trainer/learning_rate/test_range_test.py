"""The range test leaves no trace."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.trainer.layers import last_layer
from trainer.fit.recipe import Objective
from trainer.images.augment import Augmentation, augment
from trainer.images.batches import Batch
from trainer.images.mixing import Mixing
from trainer.learning_rate.range_test import Curve, RangeTestOptions, range_test, smooth
from trainer.network.model import ConcatPool, Network, adamw
from trainer.network.precision import Precision

AUGMENTATION = Augmentation(size=16, min_crop=0.5, max_rotation=10, flip=True)
MIXING = Mixing(2, mixup=1.0, cutmix=1.0)
CPU = Precision(torch.device("cpu"), torch.float32)


def _batches(stopped_by: BaseException | None = None) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(1)
    for step in range(1000):
        if step == 3 and stopped_by is not None:
            raise stopped_by
        pixels = torch.randint(0, 256, (8, 20, 20, 3), generator=generator, dtype=torch.uint8)
        yield pixels, torch.randint(0, 2, (8,), generator=generator)


def _network() -> Network:
    """With all that a range test may leave a trace in: statistics, dropout, rates of each part."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    stages = [
        nn.Sequential(nn.Conv2d(taken, given, 3, padding=1), nn.BatchNorm2d(given), nn.ReLU())
        for taken, given in ((3, 8), (8, 16), (16, 16))
    ]
    head = nn.Sequential(ConcatPool(), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 2))
    return Network(nn.Sequential(*stages), head)


def _started(warm: bool) -> tuple[Network, torch.optim.Optimizer]:
    network = _network()
    optimizer = adamw(network, 1e-3, 1e-3)
    if warm:
        _weights_after_five_steps(network, optimizer)
    return network, optimizer


def _weights_after_five_steps(network: Network, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    for step, (pixels, targets) in enumerate(_batches()):
        if step == 5:
            break
        F.cross_entropy(network(augment(pixels, AUGMENTATION)), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    return network.state_dict()


def _assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.mark.parametrize("warm", [False, True], ids=["fresh optimizer", "optimizer with moments"])
@pytest.mark.parametrize(
    "stopped_by",
    [None, RuntimeError("the disk is gone"), KeyboardInterrupt()],
    ids=["to its end", "when it raises", "at Ctrl-C"],
)
def test_training_after_a_range_test_is_bit_equal_to_training_without(
    stopped_by: BaseException | None, warm: bool
) -> None:
    plain, optimizer = _started(warm)
    expected = _weights_after_five_steps(plain, optimizer)
    numbers = (random.random(), np.random.rand(), torch.rand(1).item())

    network, optimizer = _started(warm)
    options = RangeTestOptions(1e-5, 1.0, 8)
    how: dict[str, Any] = {"mixing": MIXING, "parts": 2}
    if stopped_by is None:
        assert len(range_test(network, optimizer, _batches(), options, AUGMENTATION, CPU, **how).losses) > 3
    else:
        with pytest.raises(type(stopped_by)):
            range_test(network, optimizer, _batches(stopped_by), options, AUGMENTATION, CPU, **how)

    _assert_equal(_weights_after_five_steps(network, optimizer), expected)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == numbers


def test_range_test_puts_modes_and_gradients_back() -> None:
    network = _network()
    network.eval()
    network.head.train()
    parameter = next(network.parameters())
    parameter.grad = torch.ones_like(parameter)
    range_test(network, adamw(network, 1, 1), _batches(), RangeTestOptions(1e-5, 1, 2), AUGMENTATION, CPU)
    assert not network.backbone.training
    assert network.head.training
    assert torch.equal(parameter.grad, torch.ones_like(parameter))


def test_range_test_ends_where_the_loss_is_not_finite() -> None:
    network = _network()
    with torch.no_grad():
        last_layer(network).weight.fill_(float("nan"))
    curve = range_test(
        network, adamw(network, 1, 1), _batches(), RangeTestOptions(1e-5, 1, 8), AUGMENTATION, CPU
    )
    assert curve.losses == []
    assert "not finite" in curve.end


def test_range_test_ends_at_the_first_point_beyond_four_times_the_best() -> None:
    given = [2.0] * 10 + [9.0] * 300
    losses = iter(given)

    def objective(logits: Tensor, targets: Tensor) -> Tensor:
        return 0 * logits.sum() + next(losses)

    network = _network()
    options = RangeTestOptions(1e-7, 1e-6, 310)
    curve = range_test(network, adamw(network, 1, 1), _batches(), options, AUGMENTATION, CPU, objective)
    smoothed = smooth(given)
    expected = next(step for step, loss in enumerate(smoothed) if loss > 4 * min(smoothed[: step + 1]))
    assert len(curve.losses) == expected + 1 < 310
    assert "passed 4 times its best" in curve.end


def test_range_test_gives_one_point_a_step_at_rising_rates() -> None:
    network = _network()
    curve = range_test(
        network, adamw(network, 1, 1), _batches(), RangeTestOptions(1e-6, 1e-4, 5), AUGMENTATION, CPU
    )
    assert curve.lrs == pytest.approx(np.logspace(-6, -4, 5).tolist())
    assert len(curve.losses) == len(curve.smoothed) == 5


def test_range_test_leaves_the_optimizer_without_state_if_it_had_none() -> None:
    network = _network()
    optimizer = adamw(network, 1, 1)
    range_test(network, optimizer, _batches(), RangeTestOptions(1e-5, 1e-3, 3), AUGMENTATION, CPU)
    assert not optimizer.state


def test_range_test_puts_back_buffers_that_no_state_dict_has() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls: Tensor
            self.register_buffer("calls", torch.zeros(1), persistent=False)
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return images.mean((1, 2, 3))[:, None] * self.weight

    model = Counting()
    optimizer = torch.optim.SGD(model.parameters(), 1)
    curve = range_test(model, optimizer, _batches(), RangeTestOptions(1e-5, 1e-3, 3), AUGMENTATION, CPU)
    assert len(curve.losses) == 3
    assert model.calls.item() == 0


def test_range_test_trains_with_gradients_of_one_batch_clipped_as_training_will() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))

        def forward(self, images: Tensor) -> Tensor:
            return self.weight.expand(len(images), 2)

    def objective(logits: Tensor, targets: Tensor) -> Tensor:
        """Whose gradient is 1 for each of the two weights."""
        return 10 + logits.sum(1).mean()

    for max_norm, losses in ((None, [10.0, 9.8, 9.6]), (2**0.5 / 2, [10.0, 9.9, 9.8])):
        model = Constant()
        optimizer = torch.optim.SGD(model.parameters(), 1)
        how = RangeTestOptions(0.1, 0.1, 3, "linear")
        curve = range_test(model, optimizer, _batches(), how, AUGMENTATION, CPU, objective, max_norm)
        assert curve.losses == pytest.approx(losses, abs=1e-4)


def test_range_test_in_linear_mode_rises_by_equal_differences() -> None:
    network = _network()
    options = RangeTestOptions(0.001, 0.005, 5, "linear")
    curve = range_test(network, adamw(network, 1, 1), _batches(), options, AUGMENTATION, CPU)
    assert curve.lrs == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.005])
    assert curve.mode == "linear"


def test_range_test_minimises_what_training_will() -> None:
    curves = []
    for smoothing in (0.0, 0.5):
        network = _network()
        options, objective = RangeTestOptions(1e-6, 1e-5, 3), Objective(smoothing)
        curves.append(
            range_test(network, adamw(network, 1, 1), _batches(), options, AUGMENTATION, CPU, objective)
        )
    assert curves[0].losses != curves[1].losses


def test_range_test_mixes_images_and_their_targets() -> None:
    seen: list[Tensor] = []

    def objective(logits: Tensor, targets: Tensor) -> Tensor:
        seen.append(targets)
        return F.cross_entropy(logits, targets)

    network = _network()
    how = RangeTestOptions(1e-6, 1e-4, 5)
    range_test(
        network, adamw(network, 1, 1), _batches(), how, AUGMENTATION, CPU, objective, mixing=MIXING, parts=2
    )
    assert [tuple(shares.shape) for shares in seen] == [(4, 2)] * 10
    assert any(((shares > 0) & (shares < 1)).any() for shares in seen)


def test_range_test_keeps_the_accuracy_of_each_batch() -> None:
    network = _network()
    curve = range_test(
        network, adamw(network, 1, 1), _batches(), RangeTestOptions(1e-6, 1e-4, 5), AUGMENTATION, CPU
    )
    assert len(curve.accuracies) == 5
    assert all(accuracy * 8 == round(accuracy * 8) for accuracy in curve.accuracies)


class Blend(nn.Module):
    """A small model that keeps a diary: its mode, weights and rates when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)
        nn.init.constant_(self.head.weight, 0.01)
        nn.init.zeros_(self.head.bias)
        self.diary: list[tuple[bool, Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.diary.append((self.training, self.head.weight.detach().clone()))
        logits: Tensor = self.head(images.mean((1, 2)) - 127)
        return logits


@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_range_test_trains_as_a_plain_loop_does(max_norm: float | None) -> None:
    still = Augmentation(size=20, min_crop=1, max_rotation=0, flip=False)
    options = RangeTestOptions(1e-4, 1e-2, 6)
    model = Blend().eval()
    optimizer = torch.optim.SGD(model.parameters(), 1, momentum=0.9)
    curve = range_test(model, optimizer, _batches(), options, still, CPU, max_norm=max_norm)

    plain = Blend()
    optimizer = torch.optim.SGD(plain.parameters(), 1, momentum=0.9)
    losses, accuracies, weights = [], [], []
    for step, (pixels, targets) in zip(range(6), _batches(), strict=False):
        weights.append(plain.head.weight.detach().clone())
        logits = plain(augment(pixels, still))
        loss = F.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if max_norm:
            assert nn.utils.clip_grad_norm_(plain.parameters(), max_norm) > max_norm
        optimizer.param_groups[0]["lr"] = 1e-4 * 100 ** (step / 5)
        optimizer.step()
        losses.append(loss.item())
        accuracies.append(sum(map(int, logits.argmax(1) == targets)) / 8)
    assert curve.losses == pytest.approx(losses)
    assert curve.accuracies == pytest.approx(accuracies)
    assert [is_training for is_training, _ in model.diary] == [True] * 6
    torch.testing.assert_close([weight for _, weight in model.diary], weights)
    assert "all 6 steps were made" in curve.end


def test_first_tenth_and_last_five_points_are_of_no_use() -> None:
    for points, first, end in ((57, 5, 52), (60, 6, 55), (9, 0, 4), (5, 0, 0), (0, 0, 0)):
        places = [float(place) for place in range(points)]
        losses = [10 + place for place in places]
        curve = Curve(places, [0.0] * points, losses, "all")
        lrs, usable = curve.usable()
        assert lrs.tolist() == places[first:end]
        assert usable.tolist() == losses[first:end]


def test_range_test_goes_on_where_nothing_is_lost() -> None:
    model = Blend()
    optimizer = torch.optim.SGD(model.parameters(), 1)
    options = RangeTestOptions(1e-4, 1e-2, 6)
    curve = range_test(
        model, optimizer, _batches(), options, AUGMENTATION, CPU, lambda logits, targets: 0 * logits.sum()
    )
    assert curve.losses == [0.0] * 6
