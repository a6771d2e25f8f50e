import math

import pytest
import torch

from trainer.learning_rate.schedule import (
    constant,
    cycles,
    exp_range,
    exponential,
    linear,
    one_cycle,
    triangular,
    triangular2,
)


def test_one_cycle_follows_its_formula_at_every_step() -> None:
    steps, max_lr = 81, 0.3
    for step in range(steps):
        position = step / 80
        if position < 0.25:
            down = (1 + math.cos(math.pi * position / 0.25)) / 2  # 1 -> 0
            lr, momentum = max_lr + (max_lr / 25 - max_lr) * down, 0.85 + 0.10 * down
        else:
            down = (1 + math.cos(math.pi * (position - 0.25) / 0.75)) / 2
            lr, momentum = max_lr / 1e5 + (max_lr - max_lr / 1e5) * down, 0.95 - 0.10 * down
        now = one_cycle(step, steps, max_lr)
        assert now.lr == pytest.approx(lr, rel=1e-12)
        assert now.momentum == pytest.approx(momentum, rel=1e-12)


def test_one_cycle_starts_at_a_25th_peaks_after_a_quarter_and_ends_at_a_100000th() -> None:
    assert one_cycle(0, 101, 1.0).lr == pytest.approx(1 / 25)
    assert one_cycle(25, 101, 1.0).lr == pytest.approx(1.0)
    assert one_cycle(100, 101, 1.0).lr == pytest.approx(1e-5)
    assert one_cycle(25, 101, 1.0).momentum == pytest.approx(0.85)


def test_one_cycle_of_a_single_step_is_defined() -> None:
    assert one_cycle(0, 1, 1.0).lr == pytest.approx(1 / 25)


def test_range_test_rises_by_equal_factors_from_first_to_last() -> None:
    rates = [exponential(step, 9, 1e-7, 10) for step in range(9)]
    assert rates == pytest.approx([10.0 ** (step - 7) for step in range(9)])


def test_linear_range_test_rises_by_equal_differences_from_first_to_last() -> None:
    assert [linear(step, 5, 0.1, 0.5) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert linear(0, 1, 0.1, 0.5) == 0.1


@pytest.mark.parametrize("step_size", [1, 3, 8])
def test_triangular_goes_up_and_down_in_equal_steps(step_size: int) -> None:
    up = [0.1 + 0.4 * step / step_size for step in range(step_size)]
    down = [0.5 - 0.4 * step / step_size for step in range(step_size)]
    rates = [triangular(step, step_size, 0.1, 0.5) for step in range(6 * step_size)]
    assert [now.lr for now in rates] == pytest.approx([*up, *down] * 3)
    assert {now.momentum for now in rates} == {0.9}


def test_cyclical_policies_are_those_of_the_paper_as_torch_has_them() -> None:
    for mode, policy in (("triangular", triangular), ("triangular2", triangular2), ("exp_range", exp_range)):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
        gamma = (0.97,) if mode == "exp_range" else ()
        cyclic = torch.optim.lr_scheduler.CyclicLR(
            optimizer,
            0.1,
            0.5,
            step_size_up=4,
            mode=mode,  # type: ignore[arg-type]
            gamma=0.97,
            cycle_momentum=False,
        )
        for step in range(40):
            now = policy(step, 4, 0.1, 0.5, *gamma)
            assert now.lr == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12), (mode, step)
            assert now.momentum == 0.9
            optimizer.step()
            cyclic.step()


def test_triangles_become_lower() -> None:
    tops = [triangular2(step, 4, 0.1, 0.5).lr for step in (4, 12, 20)]
    assert tops == pytest.approx([0.5, 0.3, 0.2])
    assert [triangular2(step, 4, 0.1, 0.5).lr for step in (0, 8, 16)] == pytest.approx([0.1] * 3)
    assert exp_range(4, 4, 0.1, 0.5, 0.5).lr == pytest.approx(0.1 + 0.4 / 16)
    assert exp_range(12, 4, 0.1, 0.5, 0.5).lr == pytest.approx(0.1 + 0.4 / 4096)
    assert exp_range(2, 4, 0.1, 0.5, 0.5).lr == pytest.approx(0.1 + 0.4 / 2 / 4)


def test_after_thousands_of_triangles_the_rate_is_their_foot() -> None:
    last = 4001  # at the top of its triangle
    assert triangular2(last, 1, 0.1, 0.5).lr == exp_range(last, 1, 0.1, 0.5, 1e-3).lr == 0.1


def test_constant_schedule_is_constant() -> None:
    assert (constant(0.3).lr, constant(0.3).momentum) == (0.3, 0.9)


@pytest.mark.parametrize(
    ("epochs", "most", "expected"),
    [(5, 31, [5]), (None, 7, [1, 2, 4]), (None, 5, [1, 2, 2]), (None, 1, [1])],
)
def test_auto_epochs_double_up_to_the_most(epochs: int | None, most: int, expected: list[int]) -> None:
    assert cycles(epochs, most) == expected


def test_first_and_last_step_of_the_shortest_rises() -> None:
    for rise in (exponential, linear):
        assert [rise(0, 1, 0.1, 0.5), rise(0, 2, 0.1, 0.5)] == [0.1, 0.1]
        assert rise(1, 2, 0.1, 0.5) == pytest.approx(0.5)
    assert one_cycle(1, 2, 1.0).lr == pytest.approx(1e-5)
