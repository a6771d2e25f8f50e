"""The average of the weights is what its formula says, is scored and kept, and goes on after a break."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.trainer.conftest import train_only
from tests.trainer.interruptions import assert_a_break_changes_nothing
from trainer.evaluate.prediction import Score
from trainer.fit import loop
from trainer.fit.averaging import averaged, decay_after, network_of
from trainer.fit.state import TrainingState
from trainer.network.checkpoint import read_training
from trainer.network.model import Network, build_network

Weights = dict[str, Tensor]


def _copy(network: Network) -> Weights:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _average(steps: list[Weights], decay: float) -> Weights:
    """By hand: the first step's weights, and then d_n of what was and 1 - d_n of what is."""
    mean = {name: value.double() for name, value in steps[0].items()}
    for number, now in enumerate(steps[1:], 1):
        kept = min(decay, (1 + number) / (10 + number))
        mean = {name: kept * value + (1 - kept) * now[name].double() for name, value in mean.items()}
    counters = {name for name, value in steps[0].items() if not value.is_floating_point()}
    return {name: steps[-1][name] if name in counters else mean[name].float() for name in mean}


def test_decay_begins_low_and_ends_at_what_was_asked_for() -> None:
    assert [decay_after(count, 0.9) for count in (1, 8, 80, 10**6)] == [2 / 11, 0.5, 0.9, 0.9]


def test_weights_and_batch_norms_statistics_are_averaged_and_its_counters_taken_over() -> None:
    torch.manual_seed(0)
    network = build_network("shufflenet_v2_x0_5", 2, 32)
    average, steps = averaged(network, 0.2), []
    for _ in range(4):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.add_(torch.rand_like(tensor) if tensor.is_floating_point() else 1)
        average.update_parameters(network)
        steps.append(_copy(network))
    torch.testing.assert_close(_copy(network_of(average)), _average(steps, 0.2))


def test_averages_are_scored_and_the_best_of_them_is_what_the_network_ends_with(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Weights] = []
    scored: list[Weights] = []
    end_step = TrainingState.end_step

    def watched(state: TrainingState, network: Network, *rest: object) -> None:
        end_step(state, network, *rest)  # type: ignore[arg-type]
        steps.append(_copy(network))

    def score(network: Network, *_: object) -> Score:
        scored.append(_copy(network))
        return Score([3.0, 2.0, 1.0, 2.5][len(scored) - 1], 0.5, 0.01)

    monkeypatch.setattr(TrainingState, "end_step", watched)
    monkeypatch.setattr(loop, "score", score)
    _, weights, _ = train_only(few_digits, tmp_path, epochs="auto", max_epochs=3, ema=0.7)
    torch.testing.assert_close(scored[1], _average(steps[:6], 0.7))
    torch.testing.assert_close(scored[3], _average(steps, 0.7))
    # The second cycle, of the epochs two and three, ended above the first: the network has the first's.
    torch.testing.assert_close(weights, scored[1], rtol=0, atol=0)
    saved = read_training(next(tmp_path.glob("run-*")))
    assert saved is not None
    assert "average" not in saved[1]  # it would be all weights once more


def test_average_goes_on_after_a_break(few_digits: Path, tmp_path: Path) -> None:
    assert_a_break_changes_nothing(9, few_digits, tmp_path, ema=0.9)
