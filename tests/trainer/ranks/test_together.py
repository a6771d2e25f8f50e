"""What several ranks do together is what one would do."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.trainer.interruptions import start_from, step_losses, weights_of
from tests.trainer.ranks.starting import (
    STILL,
    ends,
    free_port,
    options,
    start_alone,
    start_rank,
    start_ranks,
)
from tests.trainer.ranks.unreleased import REFUSAL


def test_two_ranks_sum_send_and_draw_as_they_should() -> None:
    assert ends(start_ranks(2, module="tests.trainer.ranks.pair")) == [(0, "")] * 2


def test_three_ranks_add_their_gradients_in_one_order_wherever_they_lie() -> None:
    assert ends(start_ranks(3, module="tests.trainer.ranks.trio")) == [(0, "")] * 3


def test_two_ranks_train_as_one_does(few_digits: Path, tmp_path: Path) -> None:
    """Losses, weights, held-out losses and the range test's curve: through a frozen phase and after it, with
    classes that count more than others, held-out images and batches that do not divide by the ranks,
    gradients of two batches a step that are clipped, and an average of the weights."""
    start_from(few_digits, tmp_path)
    given = {
        "lr": "auto",
        "num_steps": 12,
        "arch": "squeezenet1_1",
        "weights": tmp_path / "weights.pt",
        "batch_size": 5,
        "accumulate": 2,
        "ema": 0.9,
        "class_weights": "balanced",
        "label_smoothing": 0.1,
        "max_grad_norm": 1.0,
        "fallback_lr": 1e-2,
    }
    one, two = (
        options(few_digits, tmp_path, run_id=name, cache_dir=tmp_path / name, **given)
        for name in ("one", "two")
    )
    alone = start_alone("train", *one, module=STILL)
    outcomes = ends([alone, *start_ranks(2, "train", *two, module=STILL)])
    assert [code for code, _ in outcomes] == [65, 65, 65], outcomes
    assert [REFUSAL in said for _, said in outcomes] == [True, True, True]

    runs = tmp_path / "runs"
    left, right = weights_of(runs / "one"), weights_of(runs / "two")
    for name, value in left.items():
        assert torch.allclose(value, right[name], rtol=0, atol=1e-5), name
    for losses, others in zip(step_losses(runs / "one"), step_losses(runs / "two"), strict=True):
        assert losses == pytest.approx(others, abs=1e-5)
    assert _heldout(runs / "one") == pytest.approx(_heldout(runs / "two"), abs=1e-5)
    curves = [json.loads((runs / name / "lr_find.json").read_bytes())["curve"] for name in ("one", "two")]
    for key in ("losses", "smoothed", "accuracies"):
        assert curves[0][key] == pytest.approx(curves[1][key], rel=1e-5, abs=1e-5), key


def test_a_rank_that_differs_is_named_before_the_first_step(few_digits: Path, tmp_path: Path) -> None:
    """In an option; and in the images of the folder that each has under the same name."""
    for number in (0, 1):
        shutil.copytree(few_digits, tmp_path / str(number) / "photos")
    next((tmp_path / "1" / "photos" / "train" / "1").iterdir()).unlink()
    cases: list[tuple[dict[str, int], int, str]] = [
        ({"size": 24}, 2, "rank 1 differs from rank 0 in --size: 24, not 32"),
        ({}, 65, "rank 1 differs from rank 0 in images"),
    ]
    for changes, expected, said in cases:
        port = free_port()
        given = [options(Path("photos"), tmp_path), options(Path("photos"), tmp_path, **changes)]
        ranks = [
            start_rank(rank, 2, port, "train", *arguments, cwd=tmp_path / str(rank))
            for rank, arguments in enumerate(given)
        ]
        outcomes = ends(ranks)
        assert [code for code, _ in outcomes] == [expected] * 2, outcomes
        assert said in outcomes[0][1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_lr_find_of_ranks_writes_what_one_writes(few_digits: Path, tmp_path: Path) -> None:
    names = ("one", "two")
    given = {
        name: _without(
            options(few_digits, tmp_path, output=tmp_path / name), "models", "runs", "run-id", "lr"
        )
        for name in names
    }
    alone = start_alone("lr-find", *given["one"], "--num-steps", "12", module=STILL)
    ranks = start_ranks(2, "lr-find", *given["two"], "--num-steps", "12", module=STILL)
    assert [code for code, _ in ends([alone, *ranks])] == [0, 0, 0]
    found = [json.loads((tmp_path / name / "lr_find.json").read_bytes()) for name in names]
    assert found[0]["curve"]["losses"] == pytest.approx(found[1]["curve"]["losses"], rel=1e-5)
    assert found[0]["lr"] == pytest.approx(found[1]["lr"], rel=1e-3)


def _without(arguments: list[str], *names: str) -> list[str]:
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    return [word for pair in pairs if pair[0].removeprefix("--") not in names for word in pair]


def _heldout(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["heldout_loss"] for line in lines]
