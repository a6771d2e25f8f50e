"""`labels`, from the images to the suspicions."""

import csv
import dataclasses
import json
import logging
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.label_errors import flip
from fovea.errors import DataInvalid, Terminated
from fovea.stopping import forget
from tests.programs import Program
from tests.trainer.conftest import train_settings
from trainer import job
from trainer.config import LabelsSettings
from trainer.evaluate.descriptions import _where_it_comes_from
from trainer.fit import loop
from trainer.images.captured import CapturesRecord
from trainer.label_errors import command, held_out
from trainer.preparation import prepare, prepare_every_image
from trainer.runs.history import EpochRecord
from trainer.runs.lineage import Lineage
from trainer.runs.run_folder import RunFolder

OUTPUTS = {"suspects.html", "suspects.json", "corrections.csv"}


def labels_settings(data: Path | list[str], root: Path, **changes: Any) -> LabelsSettings:
    """A small and quick search: two folds, an epoch each."""
    options: dict[str, Any] = {
        "data": data if isinstance(data, list) else str(data),
        "output": root / "labels",
        "folds": 2,
        "cache_dir": root / "cache",
        "arch": "squeezenet1_1",
        "weights": "none",
        "size": 32,
        "resize": 32,
        "batch_size": 8,
        "lr": 1e-3,
        "flip": False,
        "device": "cpu",
        "threads": 1,
    }
    return LabelsSettings(**{**options, **changes})


def listed(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "suspects.json").read_bytes())
    return record


def test_search_that_is_broken_off_goes_on_at_its_fold_and_leaves_what_data_takes(
    few_digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings, seen = labels_settings(few_digits, tmp_path), []

    def interrupted(record: EpochRecord) -> None:
        seen.append(record)
        if len(seen) == 2:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(loop, "show_epoch", interrupted)
        with pytest.raises(Terminated):
            command.labels(settings)
    forget()
    assert f"the same command with --output {tmp_path / 'labels'} goes on from here" in caplog.text
    assert {path.name for path in (tmp_path / "labels").iterdir()} == {".unfinished"}
    fits = []

    def counted(*given: Any, **named: Any) -> object:
        fits.append(given)
        return loop.fit(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(held_out, "fit", counted)
        command.labels(settings)
    assert len(fits) == 1
    assert {path.name for path in (tmp_path / "labels").iterdir()} == OUTPUTS
    record = listed(tmp_path / "labels")
    assert (record["images"], record["judged"], record["folds"]) == (68, 68, 2)
    with (tmp_path / "labels" / "corrections.csv").open(newline="") as file:
        proposed = {row["path"]: row["label"] for row in csv.DictReader(file)}
    assert proposed == {suspect["path"]: suspect["suggested"] for suspect in record["suspects"]}
    assert record["warning"].startswith("this ranking is worth little: ")
    assert record["warning"] in caplog.text
    assert record["warning"] in capsys.readouterr().out


def test_other_options_or_folds_start_a_search_again(few_digits: Path, tmp_path: Path) -> None:
    search = held_out.Search
    first, other = (labels_settings(few_digits, tmp_path, seed=seed) for seed in (0, 1))
    start = prepare_every_image(first)
    targets = start.data.heldout.targets
    output = RunFolder(tmp_path / "labels")
    search(start, targets, first, output).begin()
    (tmp_path / "labels" / ".unfinished" / "fold-1.npy").write_bytes(b"x")
    search(start, targets, first.model_copy(update={"threads": 2}), output).begin()
    assert (tmp_path / "labels" / ".unfinished" / "fold-1.npy").exists()
    for changed in (search(start, targets, other, output), search(start, 1 - targets, other, output)):
        (tmp_path / "labels" / ".unfinished" / "fold-1.npy").write_bytes(b"x")
        changed.begin()
        assert not (tmp_path / "labels" / ".unfinished" / "fold-1.npy").exists()


def test_corrections_are_told_by_audit_and_lineage(few_digits: Path, tmp_path: Path) -> None:
    image = next((few_digits / "val" / "0").iterdir())
    rows = [
        f"val/0/{image.name},1,relabel",
        f"train/1/{next((few_digits / 'train' / '1').iterdir()).name},,leave out",
    ]
    (tmp_path / "c.csv").write_text("\n".join(["path,label,decision", *rows]))
    settings = train_settings(few_digits, tmp_path, arch="squeezenet1_1")
    plain = prepare(settings)
    settings = settings.model_copy(update={"data": (str(few_digits), str(tmp_path / "c.csv"))})
    corrected = prepare(settings)
    assert (len(corrected.data.train), len(corrected.data.heldout)) == (47, 20)
    record = corrected.data.audit()
    assert record.corrections is not None
    assert (record.corrections.labels, record.corrections.left_out) == (1, 1)
    assert plain.data.audit().corrections is None
    assert plain.data.digest != corrected.data.digest
    origin = job._origin(corrected, settings)
    assert (origin.labels_corrected, origin.images_left_out) == (1, 1)
    assert not {"labels_corrected", "captured_labelled"} & job._origin(plain, settings).model_fields_set
    captures = CapturesRecord(
        sources=("captures",), images=30, labelled=20, left_out=3, known=0, without_image=0
    )
    learned = dataclasses.replace(corrected, data=dataclasses.replace(corrected.data, captures=captures))
    origin = job._origin(learned, settings)
    assert (origin.captured_labelled, origin.captured_left_out) == (20, 3)
    told = Lineage.of(origin.model_dump(exclude_unset=True))
    assert ("captures", "20 images labelled, 3 left out") in list(_where_it_comes_from(told))


def test_one_class_has_no_labels_to_doubt(few_digits: Path, tmp_path: Path) -> None:
    ones = [
        f"{part}/1/{file.name},0" for part in ("train", "val") for file in (few_digits / part / "1").iterdir()
    ]
    (tmp_path / "c.csv").write_text("\n".join(["path,label", *ones]))
    settings = labels_settings([str(few_digits), str(tmp_path / "c.csv")], tmp_path)
    with pytest.raises(DataInvalid, match="there is one class only, '0'"):
        command.labels(settings)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_flipped_digits_come_first(digits: Path, tmp_path: Path) -> None:
    flipped, table = flip(digits, tmp_path, 0.05, seed=0)
    recipe = {"arch": "resnet18", "epochs": 4, "device": "cpu", "threads": 1}
    options: dict[str, Any] = {**recipe, "output": tmp_path / "labels", "cache_dir": tmp_path / "cache"}
    command.labels(LabelsSettings(data=["digits", str(table)], **options))
    record = listed(tmp_path / "labels")
    first = [suspect["path"] for suspect in record["suspects"][: len(flipped)]]
    assert record["judged"] == 1797
    assert sum(path in flipped for path in first) >= 0.8 * len(flipped)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [(signal.SIGTERM, 143, "error: stopped by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_signal_ends_a_search_with_its_code(
    sent: signal.Signals, code: int, said: str, few_digits: Path, tmp_path: Path
) -> None:
    arguments = [
        *("labels", "--data", str(few_digits), "--output", str(tmp_path / "labels"), "--weights", "none"),
        *(
            "--arch",
            "shufflenet_v2_x0_5",
            "--size",
            "32",
            "--batch-size",
            "8",
            "--lr",
            "1e-3",
            "--epochs",
            "1000",
        ),
        *("--cache-dir", str(tmp_path / "cache"), "--threads", "1"),
    ]
    process = Program(
        "trainer", *arguments, env={**os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert '"epoch": 1' in process.stdout.readline()
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines()[-1] == said
    assert "goes on from here" in errors
    assert not any((tmp_path / "labels" / name).exists() for name in OUTPUTS)
