"""The whole training, in this process: what it leaves, and what it leaves when it fails."""

import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fovea.errors import DataInvalid, GateRefused, SettingsInvalid
from fovea.images.preprocess import decode_image
from fovea.model import versions
from fovea.model.classifier import Classifier
from fovea.stores.storage import LocalFolder
from tests.surface.recording import compare, files_below
from tests.trainer.conftest import train_settings
from tests.trainer.interruptions import QUICK
from trainer import job
from trainer.config import ExportSettings, LrFindSettings
from trainer.release import gate
from trainer.runs.lineage import Lineage


def test_training_publishes_a_model_that_serves_what_its_contract_says(
    trained: Path, few_digits: Path
) -> None:
    bundle = versions.fetch(str(trained / "models" / "tiny"))
    classifier = Classifier(bundle, provider="cpu", threads=1)
    files = sorted((few_digits / "val").rglob("*.png"))
    crops = np.stack([decode_image(file.read_bytes(), bundle.contract.preprocess) for file in files])
    named = [classifier.labels[index] for index in classifier.classify(crops).argmax(1)]
    right = sum(name == file.parent.name for name, file in zip(named, files, strict=True))
    assert right / len(files) == bundle.contract.metrics.accuracy
    assert bundle.contract.metrics.images == len(files) == 20


def test_training_writes_a_summary_of_where_everything_is(trained: Path) -> None:
    summary = json.loads((trained / "runs" / "a" / "summary.json").read_text())
    assert summary["model"] == str(trained / "models" / "tiny" / "1")
    assert summary["images_train"] == 48
    assert summary["images_heldout"] == 20
    assert summary["epochs"] in {1, 3}
    assert summary["learning_rate"] > 0
    assert Path(summary["report"]).read_text() == (Path(summary["model"]) / "report.html").read_text()


def test_files_of_a_training_are_as_recorded(trained: Path) -> None:
    compare("training.json", files_below(trained))


def test_every_step_is_recorded(trained: Path) -> None:
    lines = (trained / "runs" / "a" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert all(len(record["step_losses"]) == len(record["step_lrs"]) == 3 for record in records)


def test_auto_epochs_say_why_more_are_run(trained: Path) -> None:
    decisions = json.loads((trained / "runs" / "a" / "fit.json").read_text())["decisions"]
    assert decisions[0].startswith("held-out loss ")
    assert decisions[0].endswith("running 2 more epochs")
    assert decisions[1].endswith(("stopping here", "no more epochs were asked for"))


def test_lineage_tells_how_to_do_it_again(trained: Path) -> None:
    lineage = Lineage.of(versions.fetch(str(trained / "models" / "tiny")).contract.training)
    assert lineage.architecture == "resnet18"
    assert lineage.settings["seed"] == 0
    assert lineage.data_digest == json.loads((trained / "runs/a/audit.json").read_text())["digest"]
    assert lineage.learning_rate is not None
    decision = lineage.learning_rate.model_dump()
    assert decision.keys() >= {"lr", "why", "suggestions"}
    assert "curve" not in decision
    assert lineage.versions["torch"] == torch.__version__


def test_golden_images_are_spread_over_the_classes(trained: Path, few_digits: Path) -> None:
    bundle = versions.fetch(str(trained / "models" / "tiny"))
    heldout = {file.read_bytes(): file.parent.name for file in (few_digits / "val").rglob("*.png")}
    assert Counter(heldout[file] for file in bundle.golden().files) == {"0": 8, "1": 8}


def test_onnx_file_carries_no_trace_of_its_maker(trained: Path) -> None:
    model = onnx.load(trained / "models" / "tiny" / "1" / "model.onnx")
    assert [entry.key for entry in model.metadata_props] == ["fovea"]
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    convolved = {output for node in model.graph.node if node.op_type == "Conv" for output in node.output}
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert len(norms) == 2  # the head's
    assert not any(norm.input[0] in convolved for norm in norms)


@pytest.mark.usefixtures("known_exports")
def test_export_publishes_the_next_number_with_the_same_model(
    trained: Path, own_run: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(trained / "models" / "tiny", models)
    summary = json.loads((own_run / "summary.json").read_text())
    refused = {"model": None, "not_published": "it is bad", "candidate": str(own_run / "candidate")}
    (own_run / "summary.json").write_text(json.dumps({**summary, **refused}))
    job.export(ExportSettings(run=own_run, models=str(models), device="cpu", threads=1))
    exported = {"model": f"{models}/2", "not_published": None, "candidate": None}
    assert json.loads((own_run / "summary.json").read_text()) == {**summary, **exported}
    assert versions.published(LocalFolder(models)) == [1, 2]
    assert versions.fetch(str(models), 1).digest == versions.fetch(str(models), 2).digest


def test_export_of_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="not a training run"):
        job.export(ExportSettings(run=tmp_path, models=str(tmp_path / "models")))


def test_folder_of_something_else_is_no_run(few_digits: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "notes.txt").touch()
    with pytest.raises(SettingsInvalid, match=r"--run-id: .* holds something that is no run"):
        job.train(train_settings(few_digits, tmp_path))


@pytest.mark.usefixtures("known_exports")
def test_run_that_ended_before_it_trained_may_begin_again_with_other_settings(
    few_digits: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid, match="training diverged"):
        job.train(train_settings(few_digits, tmp_path, lr=1e30))
    job.train(train_settings(few_digits, tmp_path, **QUICK))
    assert versions.published(LocalFolder(tmp_path / "models" / "tiny")) == [1]


def test_unfinished_run_is_refused_before_the_export(
    own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_run / "fit.json").unlink()
    monkeypatch.delattr(job, "read_data")
    with pytest.raises(DataInvalid, match=r"not a finished run \(there is no fit.json in it\)"):
        job.export(ExportSettings(run=own_run, models=str(tmp_path / "models"), device="cpu", threads=1))


def test_bad_data_leave_no_run_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataInvalid, match="there is no image"):
        job.train(train_settings(tmp_path / "empty", tmp_path))
    assert sorted(child.name for child in tmp_path.iterdir()) == ["empty"]


@pytest.mark.usefixtures("known_exports")
def test_refused_model_leaves_nothing_half_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LARGEST_DIFFERENCE", -1.0)  # no model is that exact
    files = sorted((trained / "runs" / "a").iterdir())
    with pytest.raises(GateRefused):
        job.export(ExportSettings(run=trained / "runs" / "a", models=str(tmp_path / "models"), threads=1))
    assert not (tmp_path / "models").exists()
    assert sorted((trained / "runs" / "a").iterdir()) == files


def test_diverged_training_is_refused_with_what_to_try(few_digits: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"training diverged: .* try an --lr below 1e\+30"):
        job.train(train_settings(few_digits, tmp_path, lr=1e30))
    assert not (tmp_path / "models").exists()


def test_models_that_are_a_file_are_refused_before_training(few_digits: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match=r"--models .*file is in the way, which is no folder"):
        job.train(train_settings(few_digits, tmp_path, models=str(tmp_path / "file")))


def test_lr_find_shows_and_writes_its_suggestions(
    few_digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = train_settings(few_digits, tmp_path, arch="squeezenet1_1")
    options = settings.model_dump(include=set(LrFindSettings.model_fields))
    job.find_lr(LrFindSettings(**{**options, "num_steps": 20}, output=tmp_path / "out"))
    said = capsys.readouterr().out
    assert all(name in said for name in ("valley", "steep", "minimum", "slide", "learning rate"))
    assert (tmp_path / "out" / "lr_find.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((tmp_path / "out" / "lr_find.json").read_text())
    assert len(record["curve"]["lrs"]) == len(record["curve"]["losses"]) > 10


def test_lr_find_refuses_an_output_that_is_a_file_before_it_begins(
    few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(job, "prepare")
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SettingsInvalid, match=r"--output .*file is in the way"):
            job.find_lr(LrFindSettings(data=str(few_digits), output=output))


@pytest.mark.slow
def test_same_seed_gives_the_same_model_file(few_digits: Path, tmp_path: Path) -> None:
    for run_id in ("first", "second"):
        job.train(train_settings(few_digits, tmp_path, run_id=run_id, lr=1e-3))
    models = str(tmp_path / "models" / "tiny")
    first, second = versions.fetch(models, 1), versions.fetch(models, 2)
    assert first.digest == second.digest
    assert first.contract.created < second.contract.created <= datetime.now(UTC)


@pytest.mark.slow
def test_weights_of_a_run_are_fine_tuned_frozen_first(
    trained: Path, few_digits: Path, tmp_path: Path
) -> None:
    weights = str(trained / "runs" / "a" / "checkpoint.pt")
    job.train(train_settings(few_digits, tmp_path, weights=weights, lr=3e-3, epochs=5))
    lines = (tmp_path / "runs" / "a" / "metrics.jsonl").read_text().splitlines()
    peaks = [max(json.loads(line)["step_lrs"]) for line in lines]
    assert len(peaks) == 6
    assert peaks[0] > peaks[1]
    contract = versions.fetch(str(tmp_path / "models" / "tiny")).contract
    assert contract.training["weights_sha256"] is not None
    assert contract.metrics.accuracy >= 0.95
