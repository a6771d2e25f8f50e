"""A training that is broken off goes on as if nothing had happened."""

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.model import versions
from tests.trainer.conftest import train_settings
from tests.trainer.interruptions import (
    QUICK,
    STEPS_PER_EPOCH,
    assert_same_end,
    break_off,
    end_training,
    expect_terminated,
    finetuning,
    signal_at,
    start,
    start_from,
)
from trainer import job
from trainer.config import TrainSettings
from trainer.evaluate import prediction
from trainer.fit import loop
from trainer.images.batches import training_batches
from trainer.network.checkpoint import CHECKPOINT_FILE
from trainer.runs.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("known_exports")


@pytest.mark.parametrize(
    "step", [1, 6, 17, *(pytest.param(step, marks=pytest.mark.slow) for step in (4, 9, 24))]
)
def test_run_that_got_sigterm_ends_with_the_weights_of_one_that_did_not(
    step: int,
    uninterrupted: Path,
    few_digits: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "weights.pt").write_bytes((uninterrupted.parents[1] / "weights.pt").read_bytes())
    break_off(finetuning(few_digits, tmp_path), step)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)  # another process would not have the generators' states either
    end_training(finetuning(few_digits, tmp_path))
    assert_same_end(tmp_path / "runs" / "a", uninterrupted)


def test_sigterm_while_the_heldout_images_are_scored_loses_no_step(
    uninterrupted: Path, few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.pt").write_bytes((uninterrupted.parents[1] / "weights.pt").read_bytes())
    scores = iter(range(10))
    score = prediction.score

    def interrupted(*arguments: object) -> object:
        if next(scores) == 2:
            signal.raise_signal(signal.SIGTERM)
        return score(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "score", interrupted)
        expect_terminated(finetuning(few_digits, tmp_path))
    saved = torch.load(tmp_path / "runs" / "a" / CHECKPOINT_FILE, weights_only=True)["training"]["state"]
    assert len(saved["step_losses"]) == STEPS_PER_EPOCH
    job.train(finetuning(few_digits, tmp_path))
    assert_same_end(tmp_path / "runs" / "a", uninterrupted)


def test_every_image_is_seen_once_an_epoch_across_the_break(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    batches = training_batches

    def watched(*arguments: object, **options: object) -> Iterator[tuple[Tensor, Tensor]]:
        for pixels, targets in batches(*arguments, **options):  # type: ignore[arg-type]
            seen.extend(image.numpy().tobytes() for image in pixels)
            yield pixels, targets

    monkeypatch.setattr(loop, "training_batches", watched)
    settings = train_settings(few_digits, tmp_path, **QUICK)
    break_off(settings, 3)
    end_training(settings)
    assert len(seen) == STEPS_PER_EPOCH * 8
    assert len(set(seen)) == len(seen)


def test_ctrl_c_saves_too(few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_at(2, signal.SIGINT, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        job.train(train_settings(few_digits, tmp_path, **QUICK))
    content = torch.load(tmp_path / "runs" / "a" / CHECKPOINT_FILE, weights_only=True)
    training = content["training"]
    assert len(training["state"]["step_losses"]) == 2
    # What earlier and later versions read.
    assert " ".join(content) == "network arch labels preprocess epochs training colours"
    assert " ".join(training) == "state optimizer scaler generators made_on"
    assert " ".join(training["generators"]) == "python numpy torch cuda"
    assert " ".join(training["made_on"]) == "device threads torch channels_last"
    assert " ".join(training["state"]) == (
        "first_loss best_loss epochs_before kept_epoch kept_loss kept_weights phase epochs_in_phase "
        "step_losses step_lrs train_s records decisions improved finished"
    )


def test_run_that_trained_and_was_not_released_is_released_without_training_again(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = train_settings(few_digits, tmp_path, **QUICK)
    end_training(settings)
    before = (tmp_path / "runs" / "a" / CHECKPOINT_FILE).read_bytes()
    monkeypatch.delattr(loop, "train")
    job.train(settings)
    assert (tmp_path / "runs" / "a" / CHECKPOINT_FILE).read_bytes() == before
    assert versions.fetch(str(tmp_path / "models" / "tiny")).contract.training["epochs"] == 1


def test_finished_run_says_so_and_publishes_nothing_twice(
    uninterrupted: Path, few_digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = uninterrupted.parents[1]
    job.train(finetuning(few_digits, root))
    assert "is finished" in capsys.readouterr().out
    assert [child.name for child in (root / "models" / "tiny").iterdir()] == ["1"]


def test_run_does_not_go_on_with_other_settings(uninterrupted: Path, few_digits: Path) -> None:
    said = r"was begun with --batch-size 8, not --batch-size 16"
    with pytest.raises(SettingsInvalid, match=said):
        job.train(finetuning(few_digits, uninterrupted.parents[1], batch_size=16))


def test_run_does_not_go_on_with_other_images(few_digits: Path, digits: Path, tmp_path: Path) -> None:
    link = tmp_path / "data"
    link.symlink_to(few_digits)
    break_off(train_settings(link, tmp_path, **QUICK), 2)
    link.unlink()
    link.symlink_to(digits)
    with pytest.raises(DataInvalid, match="not those that the run"):
        job.train(train_settings(link, tmp_path, **QUICK))


def test_damaged_checkpoint_is_named(few_digits: Path, tmp_path: Path) -> None:
    settings = train_settings(few_digits, tmp_path, **QUICK)
    break_off(settings, 2)
    checkpoint = tmp_path / "runs" / "a" / CHECKPOINT_FILE
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(DataInvalid, match=r"checkpoint\.pt: damaged"):
        job.train(settings)


def test_two_processes_do_not_work_on_one_run(few_digits: Path, tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "runs" / "a").locked(),
        pytest.raises(Unavailable, match="another process is at work on this run"),
    ):
        job.train(train_settings(few_digits, tmp_path, **QUICK))


def test_training_goes_on_from_a_finished_run_with_its_options(
    uninterrupted: Path, few_digits: Path, tmp_path: Path
) -> None:
    root = uninterrupted.parents[1]
    settings = TrainSettings(
        data=str(few_digits),
        models=str(tmp_path / "models"),
        runs=root / "runs",
        run_id="b",
        cache_dir=root / "cache",
        continue_from=Path("a"),
        lr=1e-3,
        device="cpu",
        threads=1,
        publish_anyway=True,
    )
    job.train(settings)
    saved = json.loads((root / "runs" / "b" / "settings.json").read_text())
    assert (saved["arch"], saved["batch_size"], saved["size"]) == ("squeezenet1_1", 8, 32)
    (record,) = (json.loads(line) for line in (root / "runs/b/metrics.jsonl").read_text().splitlines())
    kept_epoch = json.loads((uninterrupted / "fit.json").read_text())["kept_epoch"]
    assert record["epoch"] == kept_epoch + 1
    training = versions.fetch(str(tmp_path / "models")).contract.training
    assert (training["continued_from"], training["epochs"]) == ("a", kept_epoch + 1)


def test_other_architecture_cannot_go_on_from_a_run(uninterrupted: Path, few_digits: Path) -> None:
    settings = finetuning(few_digits, uninterrupted.parents[1], continue_from=uninterrupted, arch="resnet18")
    with pytest.raises(SettingsInvalid, match=r"--arch resnet18: .* goes on with that run's network"):
        job.train(settings)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_process_that_is_killed_again_and_again_ends_with_the_same_weights(
    few_digits: Path, tmp_path: Path
) -> None:
    """SIGKILL after a random number of steps, ten times; the process is started again each time."""
    start_from(few_digits, tmp_path)
    _run_to_end(few_digits, tmp_path, "straight")
    chance, in_mid_epoch = random.Random(0), 0
    for _ in range(10):
        in_mid_epoch += _kill_after(chance.randint(1, 5), few_digits, tmp_path) > 0
    assert in_mid_epoch >= 3
    _run_to_end(few_digits, tmp_path, "killed")
    assert_same_end(tmp_path / "runs" / "killed", tmp_path / "runs" / "straight")
    digests = [versions.fetch(str(tmp_path / "models" / "tiny"), number).digest for number in (1, 2)]
    assert digests[0] == digests[1]


def _killable(data: Path, root: Path, run_id: str) -> TrainSettings:
    return finetuning(data, root, run_id=run_id, epochs=12, checkpoint_every=1)


def _run_to_end(data: Path, root: Path, run_id: str) -> None:
    process = start(_killable(data, root, run_id))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def _kill_after(saves: int, data: Path, root: Path) -> int:
    """Kills the run after it has written that many checkpoints; returns its steps within the epoch."""
    checkpoint = root / "runs" / "killed" / CHECKPOINT_FILE
    process = start(_killable(data, root, "killed"))
    seen = _version(checkpoint)
    while saves and process.poll() is None:
        if _version(checkpoint) != seen:
            seen, saves = _version(checkpoint), saves - 1
        time.sleep(0.001)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    return len(torch.load(checkpoint, weights_only=True)["training"]["state"]["step_losses"])


def _version(path: Path) -> tuple[int, int] | None:
    """What differs between one file and the one that takes its place."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns
