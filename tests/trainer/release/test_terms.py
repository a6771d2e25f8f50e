"""On which terms a model is published, and what is kept of one that is not."""

from pathlib import Path
from typing import Any

from tests.trainer.conftest import train_settings
from tests.trainer.report.test_verdict import CALIBRATION, CLEAN, of
from trainer.config import ExportSettings
from trainer.release.publishing import Terms, describe_refusal, drop_candidate, keep_candidate
from trainer.report.verdict import judge
from trainer.runs.run_folder import RunFolder


def staged(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"{name} of {folder.name}")
    return folder


def test_a_candidate_takes_the_place_of_the_one_before_as_a_whole(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    drop_candidate(run)  # of which there is none
    for name, files in (("first", ("model.onnx", "model.int8.onnx")), ("second", ("model.onnx",))):
        folder = keep_candidate(run, staged(tmp_path / name, *files))
        assert folder == run.path / "candidate"
        assert {file.name: file.read_text() for file in folder.iterdir()} == {
            file: f"{file} of {name}" for file in files
        }
    drop_candidate(run)
    assert list(run.path.iterdir()) == []


def test_a_refusal_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "my run")
    line = describe_refusal(run, "it is worth nothing", "s3://models/pets")
    assert line == (
        f"{run.path}: the model is not published: it is worth nothing; look at {run.path}/report.html; to "
        f"publish it all the same: python -m trainer export --run '{run.path}' --models s3://models/pets "
        "--publish-anyway"
    )


def test_an_accuracy_as_high_as_the_least_is_high_enough() -> None:
    metrics = of((480, 20), (15, 485))
    verdict = judge(metrics, CALIBRATION, CLEAN, 0.99)
    assert metrics.accuracy == 0.965
    assert Terms(0.965).refusal(metrics, verdict) is None
    assert Terms(0.966).refusal(metrics, verdict) is not None
    assert Terms().refusal(metrics, verdict) is None
    assert Terms() == Terms(None, anyway=False)


def test_an_export_keeps_to_its_runs_least_accuracy_unless_it_names_one(tmp_path: Path) -> None:
    of_the_run = train_settings(tmp_path, tmp_path, min_accuracy=0.9, publish_anyway=False)
    for given, terms in (
        ({}, Terms(0.9)),
        ({"min_accuracy": 0.5}, Terms(0.5)),
        ({"publish_anyway": True}, Terms(0.9, anyway=True)),
    ):
        options: dict[str, Any] = {"run": tmp_path, "models": "models", **given}
        assert Terms.of(ExportSettings(**options), of_the_run) == terms


def test_terms_say_what_is_not_reached() -> None:
    sound, worthless = of((480, 20), (15, 485)), of((60, 0), (40, 0))
    for metrics, terms, said in (
        (sound, Terms(), None),
        (sound, Terms(0.965), None),
        (
            sound,
            Terms(0.97),
            "its accuracy of 96.50% is below --min-accuracy 0.97 (965 of 1000 held-out images",
        ),
        (sound, Terms(0.97, anyway=True), None),
        (worthless, Terms(), "it is not better than always answering class 0, which is right for 60.0 % of"),
        (worthless, Terms(0.5), "it is not better than always"),
        (worthless, Terms(anyway=True), None),
    ):
        refusal = terms.refusal(metrics, judge(metrics, CALIBRATION, CLEAN, 0.99))
        assert (refusal is None) if said is None else (refusal or "").startswith(said), (terms, refusal)
