"""A whole training, broken off and resumed, tells TensorBoard and MLflow how it goes."""

import json
from pathlib import Path

import pytest

from fovea.errors import DataInvalid
from fovea.model import versions
from tests.trainer.conftest import train_settings
from tests.trainer.interruptions import QUICK, assert_same_end, break_off, finetuning
from tests.trainer.tracking.conftest import Store
from tests.trainer.tracking.reading import scalars, texts
from trainer import job, telling
from trainer.network.checkpoint import CHECKPOINT_FILE
from trainer.runs.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("known_exports")


def test_training_that_is_broken_off_goes_on_where_it_was_told_of_and_ends_as_one_that_told_nobody(
    uninterrupted: Path, few_digits: Path, tmp_path: Path, store: Store
) -> None:
    """In its second epoch; TensorBoard is told only afterwards, of all epochs."""
    (tmp_path / "weights.pt").write_bytes((uninterrupted.parents[1] / "weights.pt").read_bytes())
    folder = tmp_path / "runs" / "a"
    break_off(finetuning(few_digits, tmp_path, log_to="mlflow"), 9)
    run = store.run()
    assert (run.info.status, run.data.tags["fovea.run"]) == ("KILLED", "a")
    assert [step for step, _ in store.history("heldout_loss")] == [1]
    assert not (folder / "tensorboard").exists()

    job.train(finetuning(few_digits, tmp_path, log_to="tensorboard,mlflow"))
    assert_same_end(folder, uninterrupted)
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    bundle = versions.fetch(str(tmp_path / "models" / "tiny"))

    run = store.run()
    assert run.info.status == "FINISHED"
    assert (run.data.tags["fovea.version"], run.data.tags["fovea.digest"]) == ("1", bundle.digest)
    assert run.data.metrics["released_accuracy"] == bundle.contract.metrics.accuracy
    decision = json.loads((folder / "lr_find.json").read_text())
    assert float(run.data.params["learning_rate"]) == pytest.approx(decision["lr"])
    assert (run.data.params["batch_size"], run.data.params["arch"]) == ("8", QUICK["arch"])
    assert store.history("heldout_loss") == [(one["epoch"], one["heldout_loss"]) for one in epochs]
    assert {*store.artifacts()} == {"lr_find.json", "report.html"}

    events = scalars(folder / "tensorboard")
    assert [*events["epoch/heldout_loss"].values()] == pytest.approx([one["heldout_loss"] for one in epochs])
    losses = [loss for one in epochs for loss in one["step_losses"]]
    assert [*events["step/loss"].values()] == pytest.approx(losses)
    assert bundle.digest in texts(folder / "tensorboard", "model")[0]


def test_training_that_fails_is_told_as_failed(few_digits: Path, tmp_path: Path, store: Store) -> None:
    settings = train_settings(few_digits, tmp_path, **{**QUICK, "lr": 1e30, "log_to": "mlflow"})
    with pytest.raises(DataInvalid, match="training diverged"):
        job.train(settings)
    assert [run.info.status for run in store.runs()] == ["FAILED"]


def test_run_that_begins_again_with_another_recipe_is_another_training(tmp_path: Path) -> None:
    run, recipe = RunFolder(tmp_path), {"arch": "resnet18"}
    key = telling._key(run, recipe)
    (tmp_path / "tensorboard").mkdir()
    assert telling._key(run, recipe) == key
    assert (tmp_path / "tensorboard").exists()
    other = telling._key(run, {"arch": "resnet34"})
    assert other != key
    assert not (tmp_path / "tensorboard").exists()
    (tmp_path / CHECKPOINT_FILE).touch()
    assert telling._key(run, {"arch": "resnet34", "option": "of a newer version"}) == other
