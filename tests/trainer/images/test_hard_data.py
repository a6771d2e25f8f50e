"""Whole trainings on data as it comes: damaged, doubled, in all formats, and of very many classes."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.model import versions
from fovea.model.classifier import Classifier
from tests.photos import make_photos
from tests.trainer.conftest import train_settings
from trainer import job

QUICK = {"arch": "squeezenet1_1", "lr": 3e-3}
PER_CLASS = 60


@pytest.fixture(scope="module")
def hard_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 cuttings of photographs in eight formats, two of them damaged, one doubled under the same label
    and one under the other; a large photo held sideways, a name that is not UTF-8, a class of one image."""
    root = tmp_path_factory.mktemp("hard")
    files = sorted(make_photos(root / "all", PER_CLASS))
    for index, file in enumerate(files):
        part = "val" if index % 5 == 0 else "train"
        target = root / "data" / part / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes()[:200] if index in {17, 103} else file.read_bytes())
    train, val = root / "data" / "train", root / "data" / "val"
    shutil.copy(val / "flower" / files[0].name, train / "flower" / f"leaked{files[0].suffix}")
    shutil.copy(train / "flower" / files[1].name, train / "temple" / f"other{files[1].suffix}")
    not_utf8 = os.fsdecode(b"\xe9" + files[1].suffix.encode())
    (train / "flower" / files[1].name).rename(train / "flower" / not_utf8)
    (train / "temple" / "large.jpg").write_bytes(_large_photo(files[-1]))
    (train / "rare").mkdir()
    (train / "rare" / "only.png").write_bytes(_picture(3))
    return root / "data"


def _large_photo(file: Path) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    data = io.BytesIO()
    Image.open(file).convert("RGB").resize((4000, 3000)).save(data, "JPEG", exif=exif)
    return data.getvalue()


def _picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def test_hard_data_are_trained_on_and_every_finding_is_in_the_audit_and_the_report(
    hard_folder: Path, tmp_path: Path
) -> None:
    job.train(train_settings(hard_folder, tmp_path, **QUICK, max_bad_fraction=0.02))
    audit = json.loads((tmp_path / "runs" / "a" / "audit.json").read_text())
    assert len(audit["quarantined"]) == 2
    assert len(audit["leaked"]) == 1
    assert len(audit["conflicts"]) == 1
    assert audit["not_heldout"] == ["rare"]
    assert {"rotated", "cmyk", "grey", "alpha"} <= audit["traits"].keys()
    report = (tmp_path / "runs" / "a" / "report.html").read_text()
    for said in (
        *(Path(entry["path"]).name for entry in (*audit["quarantined"], *audit["leaked"])),
        "other.",
        r"\xe9.",
        "not measured",
        "<bdi>rare</bdi> (1 to train on)",
        "CMYK",
    ):
        assert said in report
    bundle = versions.fetch(str(tmp_path / "models" / "tiny"))
    assert bundle.contract.labels == ("flower", "rare", "temple")
    assert bundle.contract.metrics.images == 24
    assert bundle.contract.metrics.per_class["rare"].images == 0


@pytest.mark.slow
def test_three_thousand_classes_are_trained_released_and_opened(tmp_path: Path) -> None:
    for label in range(3000):
        for part, count in (("train", 2), ("val", 1)):
            folder = tmp_path / "data" / part / f"class {label:04}"
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index}.png").write_bytes(_picture(10 * label + index + 5 * (part == "val")))
    options = {**QUICK, "batch_size": 256, "precisions": ("fp32", "int8"), "max_accuracy_drop": 1.0}
    job.train(train_settings(tmp_path / "data", tmp_path, **options))
    bundle = versions.fetch(str(tmp_path / "models" / "tiny"))
    assert len(bundle.contract.labels) == bundle.contract.metrics.images == 3000
    assert Classifier(bundle, "cpu", 1).classify(bundle.golden().crops).shape == (16, 3000)
    assert (bundle.path / "report.html").stat().st_size < 5_000_000
