import pytest

from trainer.fit.phases import Phase, Recipe, phases, schedule_of
from trainer.images.augment import Augmentation
from trainer.learning_rate.schedule import one_cycle


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


def test_groups_share_the_triangles_shape() -> None:
    rates = schedule_of(_recipe(schedule="triangular", base_lr=8e-4, step_size=5), 40)
    for step in range(40):
        assert rates(step, 4e-3).lr == pytest.approx(100 * rates(step, 4e-5).lr)
    assert rates(0, 8e-3).lr == pytest.approx(8e-4)
    assert rates(5, 8e-3).lr == rates(15, 8e-3).lr == pytest.approx(8e-3)
