"""A signal ends a training at once or after the step, wherever it comes, and what was saved is whole."""

import json
import signal
import time
from pathlib import Path

import pytest
import torch

from fovea.model import versions
from fovea.stopping import Torn
from fovea.stores.storage import LocalFolder
from tests.trainer.conftest import train_settings
from tests.trainer.interruptions import (
    QUICK,
    assert_same_end,
    break_off,
    end_training,
    expect_terminated,
    finetuning,
    start,
)
from trainer import job
from trainer.config import TrainSettings
from trainer.fit import loop
from trainer.fit.state import begin
from trainer.network.checkpoint import CHECKPOINT_FILE
from trainer.runs.history import EpochRecord

pytestmark = pytest.mark.usefixtures("known_exports")


@pytest.fixture
def settings(uninterrupted: Path, few_digits: Path, tmp_path: Path) -> TrainSettings:
    """Of the same training, not begun."""
    (tmp_path / "weights.pt").write_bytes((uninterrupted.parents[1] / "weights.pt").read_bytes())
    return finetuning(few_digits, tmp_path)


def _published(settings: TrainSettings) -> list[int]:
    return versions.published(LocalFolder(Path(settings.models)))


def _sigterm(*_: object, **__: object) -> None:
    signal.raise_signal(signal.SIGTERM)


def test_second_ctrl_c_leaves_the_last_whole_checkpoint(
    settings: TrainSettings, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the optimizer's step, before the step is counted."""
    taken, update = iter(range(1, 1000)), torch.amp.GradScaler.update

    def interrupted(scaler: torch.amp.GradScaler) -> None:
        update(scaler)
        if next(taken) == 6:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(torch.amp.GradScaler, "update", interrupted)
        with pytest.raises(Torn):
            job.train(settings)
    saved = torch.load(settings.runs / "a" / CHECKPOINT_FILE, weights_only=True)["training"]["state"]
    assert len(saved["step_losses"]) == QUICK["checkpoint_every"]
    job.train(settings)
    assert_same_end(settings.runs / "a", uninterrupted)


@pytest.mark.parametrize("epochs", [1, 2, 4], ids=["the frozen phase", "the first cycle", "the last cycle"])
def test_sigterm_between_the_last_epoch_of_a_phase_and_what_follows_from_it_loses_neither(
    epochs: int, settings: TrainSettings, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(record: EpochRecord) -> None:
        if record.epoch == epochs:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "show_epoch", interrupted)
        expect_terminated(settings)
    saved = torch.load(settings.runs / "a" / CHECKPOINT_FILE, weights_only=True)["training"]["state"]
    assert len(saved["records"]) == epochs
    end_training(settings)
    assert_same_end(settings.runs / "a", uninterrupted)
    decisions = [
        json.loads((run / "fit.json").read_text())["decisions"]
        for run in (settings.runs / "a", uninterrupted)
    ]
    assert decisions[0] == decisions[1]


def test_sigterm_while_the_optimizer_is_put_back_loses_nothing_of_it(
    settings: TrainSettings, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(settings, 9)
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "load_state_dict", _sigterm)
        expect_terminated(settings)
    end_training(settings)
    assert_same_end(settings.runs / "a", uninterrupted)


@pytest.mark.slow
def test_sigterm_in_the_range_test_leaves_the_training_as_it_would_have_been(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**QUICK, "lr": "auto", "num_steps": 30}
    for name in ("straight", "broken"):
        settings = train_settings(few_digits, tmp_path, **options, run_id=name)
        if name == "broken":
            with monkeypatch.context() as patch:
                patch.setattr("trainer.learning_rate.range_test.clip_gradients", _sigterm)
                expect_terminated(settings)
        job.train(settings)
    assert_same_end(tmp_path / "runs" / "broken", tmp_path / "runs" / "straight")


@pytest.mark.parametrize(
    "within",
    [
        pytest.param(
            "trainer.release.variants.write_int8", marks=pytest.mark.slow
        ),  # whose failure would leave int8 out
        pytest.param("trainer.release.gate._decode", marks=pytest.mark.slow),
        "trainer.release.export.torch.onnx.export",
        pytest.param(
            "trainer.network.weights.torch.load", marks=pytest.mark.slow
        ),  # ... would be a damaged file
    ],
)
def test_sigterm_is_taken_for_no_failure_of_what_it_comes_in(
    within: str, settings: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = settings.weights if "weights" in within else "none"  # without them as others train
    precisions = {"precisions": ("fp32", "int8"), "max_accuracy_drop": 1.0}
    options = settings.model_copy(update={**precisions, "weights": weights, "epochs": 1, "threads": 1})
    with monkeypatch.context() as patch:
        patch.setattr(within, _sigterm)
        expect_terminated(options)
    assert _published(options) == []
    job.train(options)
    assert _published(options) == [1]
    assert "int8" in versions.fetch(options.models).contract.variants


def test_sigterm_after_the_release_publishes_nothing_twice(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = train_settings(few_digits, tmp_path, **QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(job, "summarise", _sigterm)
        expect_terminated(settings)
    job.train(settings)
    assert _published(settings) == [1]
    assert (tmp_path / "runs" / "a" / "summary.json").is_file()


def test_sigterm_as_a_version_is_published_waits_until_it_is_whole(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, publish = train_settings(few_digits, tmp_path, **QUICK), versions.publish

    def interrupted(*arguments: object) -> object:
        _sigterm()
        return publish(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(versions, "publish", interrupted)
        expect_terminated(settings)
    assert _published(settings) == [1]
    job.train(settings)
    assert _published(settings) == [1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"sampler": "balanced"}, {"schedule": "triangular", "step_size": 4, "lr": 1e-3}, {"max_grad_norm": 0.1}],
    ids=lambda options: next(iter(options)),
)
def test_other_recipes_go_on_exactly_too(
    options: dict[str, object], few_digits: Path, tmp_path: Path
) -> None:
    for name in ("straight", "broken"):
        settings = train_settings(few_digits, tmp_path, **{**QUICK, **options}, epochs=2, run_id=name)
        if name == "broken":
            break_off(settings, 8)
        job.train(settings)
    assert_same_end(tmp_path / "runs" / "broken", tmp_path / "runs" / "straight")


def test_scaler_goes_on_where_it_was() -> None:
    """Scales losses on a device that computes in float16; here it is seen alone."""
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
    scaler.scale(torch.ones(1))
    state = begin(1.0, epochs_before=0)
    state.resumed_scaler = scaler.state_dict()
    resumed = torch.amp.GradScaler("cpu")
    state.attach(torch.optim.SGD([torch.zeros(1)]), resumed)
    assert resumed.get_scale() == 8.0
    assert state.scaler is resumed


def test_another_number_of_threads_is_said(
    few_digits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = train_settings(few_digits, tmp_path, **QUICK)
    break_off(settings, 3)
    try:
        break_off(settings.model_copy(update={"threads": 2}), 2)
    finally:
        torch.set_num_threads(1)
    assert "the run was begun with threads 1, now 2: its end may differ in the last bits" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.2, 2.0])
def test_process_that_gets_sigterm_in_its_release_ends_with_143_and_publishes_once(
    after_s: float, few_digits: Path, tmp_path: Path
) -> None:
    settings = train_settings(few_digits, tmp_path, **QUICK, precisions=("fp32", "fp16", "int8"))
    process = start(settings)
    assert process.stdout is not None
    assert '"epoch": 1' in process.stdout.readline()
    time.sleep(after_s)  # into the release: where in it, differs from machine to machine
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (0 if (tmp_path / "runs" / "a" / "summary.json").exists() else 143), errors
    assert "Traceback" not in errors
    again = start(settings)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert _published(settings) == [1]
