"""The range test leaves no trace."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.augment import Augmentation, augment
from trainer.batches import Batch
from trainer.lr_finder import RangeTest, range_test
from trainer.model import Network, adamw, build_network
from trainer.precision import Precision

AUGMENTATION = Augmentation(size=16, min_crop=0.5, max_rotation=10, flip=True)
CPU = Precision(torch.device("cpu"), torch.float32)


def _batches(fail_at: int | None = None) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(1)
    for step in range(1000):
        if step == fail_at:
            raise RuntimeError("the disk is gone")
        pixels = torch.randint(0, 256, (8, 20, 20, 3), generator=generator, dtype=torch.uint8)
        yield pixels, torch.randint(0, 2, (8,), generator=generator)


def _network() -> Network:
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    return build_network("shufflenet_v2_x0_5", 2, 16)


def _weights_after_five_steps(network: Network, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    for step, (pixels, targets) in enumerate(_batches()):
        if step == 5:
            break
        F.cross_entropy(network(augment(pixels, AUGMENTATION)), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network.state_dict()


def _assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.mark.parametrize("fail_at", [None, 3], ids=["to its end", "when it raises"])
def test_training_after_a_range_test_is_bit_equal_to_training_without(fail_at: int | None) -> None:
    plain = _network()
    expected = _weights_after_five_steps(plain, adamw(plain, 1e-3, 1e-3))
    numbers = (random.random(), np.random.rand(), torch.rand(1).item())

    network = _network()
    optimizer = adamw(network, 1e-3, 1e-3)
    how = RangeTest(1e-5, 1.0, 8)
    if fail_at is None:
        assert len(range_test(network, optimizer, _batches(), how, AUGMENTATION, CPU).losses) > 3
    else:
        with pytest.raises(RuntimeError, match="the disk is gone"):
            range_test(network, optimizer, _batches(fail_at), how, AUGMENTATION, CPU)

    _assert_equal(_weights_after_five_steps(network, optimizer), expected)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == numbers


def test_range_test_puts_modes_and_gradients_back() -> None:
    network = _network()
    network.eval()
    network.head.train()
    parameter = next(network.parameters())
    parameter.grad = torch.ones_like(parameter)
    range_test(network, adamw(network, 1, 1), _batches(), RangeTest(1e-5, 1, 2), AUGMENTATION, CPU)
    assert not network.backbone.training
    assert network.head.training
    assert torch.equal(parameter.grad, torch.ones_like(parameter))


def test_range_test_ends_where_the_loss_is_not_finite() -> None:
    network = _network()
    with torch.no_grad():
        network.head[-1].weight.fill_(float("nan"))
    curve = range_test(network, adamw(network, 1, 1), _batches(), RangeTest(1e-5, 1, 8), AUGMENTATION, CPU)
    assert curve.losses == []
    assert "not finite" in curve.end


def test_range_test_gives_one_point_a_step_at_rising_rates() -> None:
    network = _network()
    curve = range_test(network, adamw(network, 1, 1), _batches(), RangeTest(1e-6, 1e-4, 5), AUGMENTATION, CPU)
    assert curve.lrs == pytest.approx(np.logspace(-6, -4, 5).tolist())
    assert len(curve.losses) == len(curve.smoothed) == 5
