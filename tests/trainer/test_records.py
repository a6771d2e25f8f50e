"""What runs of earlier versions wrote is read, and written again byte for byte."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from fovea.errors import DataInvalid
from trainer.images.audit import AuditRecord, read_audit
from trainer.runs.history import FitRecord
from trainer.runs.run_folder import AUDIT_FILE, RunFolder
from trainer.summary import SummaryRecord

AUDIT: dict[str, object] = {
    "digest": "5d",
    "not_taken": {".mov": {"files": 2, "names": ["a/1.mov"]}},
    "left_for_evaluate": {"test": 6},
    "quarantined": [{"path": "a/2.jpg", "reason": "cut off"}],
    "classes": {"a": {"train": 9, "heldout": 1}, "b": {"train": 12, "heldout": 0}},
    "look_alikes": [["A", "a"]],
    "tiny": {"a": 9},
    "not_heldout": ["b"],
    "leaked": [{"path": "a/3.jpg", "reason": "the same content is held out as a/4.jpg"}],
    "conflicts": [["a: a/5.jpg", "b: b/5.jpg"]],
    "duplicates": [["a/6.jpg", "a/7.jpg"]],
    "traits": {"grey": 3},
    "doubtful": {"one colour": ["a/8.jpg"]},
}
FIT: dict[str, object] = {
    "epochs": 2,
    "decisions": ["held-out loss fell"],
    "kept_epoch": 2,
    "advice": "run more",
}
SUMMARY: dict[str, object] = {
    "learning_rate": 0.0031622776601683794,
    "accuracy": 0.95,
    "accuracy_interval_95": [0.7638683, 0.99112],
    "macro_recall": 0.95,
    "majority": {"label": "a", "accuracy": 0.5},
    "loss": 0.12345678901234567,
    "epochs": 2,
    "epochs_advice": "run more",
    "images_train": 48,
    "images_heldout": 20,
    "verdict": {"word": "Fit to ship", "against": ["few"]},
    "model": None,
    "not_published": "its accuracy is low",
    "candidate": "runs/a/candidate",
    "report": "runs/a/report.html",
    "seconds": 12.3,
}
WRITTEN: tuple[tuple[type[BaseModel], dict[str, object]], ...] = (
    (AuditRecord, AUDIT),
    (FitRecord, FIT),
    (SummaryRecord, SUMMARY),
    # of versions that had no verdict, and of one to come
    (SummaryRecord, {"accuracy": 0.9, "images_heldout": 20, "model": "models/pets/1"}),
    (SummaryRecord, {**SUMMARY, "verdict": None, "energy_j": 7}),
)


def test_records_are_read_and_written_byte_for_byte(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for kind, content in WRITTEN:
        run.write_json("before.json", content)
        run.write_record("after.json", run.read_record("before.json", kind))
        before, after = (Path(tmp_path, name).read_text() for name in ("before.json", "after.json"))
        assert before == after, kind.__name__


def test_audit_of_an_older_version_is_read(tmp_path: Path) -> None:
    older = {name: AUDIT[name] for name in ("digest", "quarantined", "classes", "not_heldout", "conflicts")}
    RunFolder(tmp_path).write_json(AUDIT_FILE, older)
    audit = read_audit(RunFolder(tmp_path))
    assert (audit.trained_on, audit.not_taken, audit.look_alikes) == (21, {}, [])


def test_record_that_lacks_what_it_must_have_is_named(tmp_path: Path) -> None:
    (tmp_path / AUDIT_FILE).write_text(json.dumps({"classes": {}}))
    with pytest.raises(DataInvalid, match=r"audit\.json: not what a training writes: digest: Field required"):
        read_audit(RunFolder(tmp_path))
