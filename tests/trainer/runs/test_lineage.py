"""Where a model comes from is kept as it was always kept, and read of any version."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from fovea.errors import DataInvalid
from trainer.runs.lineage import ChosenRate, Lineage, RunOrigin
from trainer.runs.release_record import ReleaseRecord
from trainer.runs.run_folder import LINEAGE_FILE, RELEASED_FILE, RunFolder

STARTED: Final = '{\n  "data_digest": "d1",\n  "weights_sha256": null\n}\n'
CONTINUED: Final = """{
  "data_digest": "d1",
  "weights_sha256": "5e",
  "continued_from": "a",
  "epochs_before": 3
}
"""
TRAINING: Final = """{"run": "b", "architecture": "resnet18", "weights": "imagenet", "data_digest": "d1", \
"weights_sha256": "5e", "continued_from": "a", "epochs_before": 3, "learning_rate": {"lr": 6.9e-05, \
"why": "valley", "confidence": "low", "suggestions": {"valley": 6.9e-05, "slide": null}, "warning": null, \
"base_lr": 0.00012, "spread": {"valley": [2.1e-05, 0.00074]}}, "epochs": 4, "seed": 7, \
"versions": {"python": "3.11.7"}, "settings": {"data": "digits", "lr": "auto", "precisions": ["fp32"]}}"""
METRICS: Final[dict[str, Any]] = {
    "images": 2,
    "accuracy": 0.5,
    "loss": 0.75,
    "ece": 0.25,
    "per_class": {"cat": {"images": 2, "precision": 1.0, "recall": 0.5}},
    "confidences": [0] * 19 + [2],
    "abstained": 1,
    "right_by_confidence": None,
}
VERDICT: Final = {"word": "Fit to ship, with care", "against": ["2 held-out images are few"]}


@pytest.mark.parametrize("text", [STARTED, CONTINUED])
def test_what_a_run_began_with_is_written_as_it_was_read(text: str, tmp_path: Path) -> None:
    (tmp_path / LINEAGE_FILE).write_text(text)
    origin = RunOrigin.read(RunFolder(tmp_path))
    (tmp_path / LINEAGE_FILE).unlink()
    origin.write(RunFolder(tmp_path))
    assert (tmp_path / LINEAGE_FILE).read_text() == text


def test_damaged_record_of_a_beginning_is_named(tmp_path: Path) -> None:
    (tmp_path / LINEAGE_FILE).write_text("{}")
    with pytest.raises(DataInvalid, match=r"lineage\.json: not the record of what a run began with"):
        RunOrigin.read(RunFolder(tmp_path))


def test_lineage_in_a_bundle_is_written_as_it_was_read() -> None:
    assert json.dumps(Lineage.of(json.loads(TRAINING)).record()) == TRAINING


def test_what_is_noted_as_something_else_is_as_if_it_were_not() -> None:
    lineage = Lineage.of({"run": ["a"], "seed": "x", "learning_rate": 1, "settings": [], "copy_of": "s3://a"})
    assert lineage == Lineage(run=None, seed=None, learning_rate=None, settings={})
    assert Lineage.of({"learning_rate": {"lr": "fast", "why": "given"}}).learning_rate == ChosenRate(
        why="given"
    )


def test_release_is_recorded_as_ever_and_an_older_record_is_read(tmp_path: Path) -> None:
    run, path = RunFolder(tmp_path), tmp_path / RELEASED_FILE
    assert ReleaseRecord.read(run) is None
    found = {"digest": "5d", "temperature": 0.36}
    newest = {"uri": "models/pets/1", "metrics": METRICS, "verdict": VERDICT, **found}
    path.write_text(json.dumps(newest, indent=2) + "\n")
    record = ReleaseRecord.read(run)
    assert record is not None
    path.unlink()
    record.write(run)
    assert path.read_text() == json.dumps(newest, indent=2) + "\n"
    path.write_text(json.dumps({"uri": "models/pets/1", "metrics": METRICS, "by": "an older version"}))
    older = ReleaseRecord.read(run)
    assert older is not None
    assert older.metrics == record.metrics
    assert (older.verdict, older.digest, older.temperature) == (None, None, None)


def test_damaged_record_of_a_release_is_named(tmp_path: Path) -> None:
    (tmp_path / RELEASED_FILE).write_text(json.dumps({"uri": "models/pets/1"}))
    with pytest.raises(DataInvalid, match=r"released\.json: not the record of a release"):
        ReleaseRecord.read(RunFolder(tmp_path))
