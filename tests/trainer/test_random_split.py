"""A split by groups beside a random one, by the same recipe."""

import json
import shutil
from pathlib import Path

import pytest

from fovea.errors import SettingsInvalid
from fovea.model import versions
from tests.trainer.conftest import train_settings
from tests.trainer.interruptions import QUICK
from trainer import job
from trainer.config import EvaluateSettings
from trainer.evaluate.command import evaluate
from trainer.random_split import check_comparable
from trainer.ranks.group import ALONE


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "give --group or --group-pattern too"),
        ({"group": "patient", "continue_from": "b"}, "has seen images that a random split would hold out"),
    ],
)
def test_comparison_of_nothing_is_refused(
    few_digits: Path, tmp_path: Path, options: dict[str, str], why: str
) -> None:
    settings = train_settings(few_digits, tmp_path, compare_random_split=True, **options)
    with pytest.raises(SettingsInvalid, match=why):
        check_comparable(settings, ALONE)


@pytest.mark.slow
def test_training_by_groups_tells_what_a_random_split_gives_and_evaluate_finds_its_images(
    few_digits: Path, tmp_path: Path
) -> None:
    for place, file in enumerate(sorted(few_digits.rglob("*.png"))):
        target = tmp_path / "data" / file.parent.name / f"p{place % 8}_{file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    options = {"group_pattern": "/(p[0-9])_", "compare_random_split": True, "test_fraction": 0.2, "epochs": 1}
    job.train(train_settings(tmp_path / "data", tmp_path, **QUICK, **options))
    run = tmp_path / "runs" / "a"
    random = json.loads((run / "random_split.json").read_text())
    summary = json.loads((run / "summary.json").read_text())
    assert summary["random_split_accuracy"] == random["right"] / random["images"]
    assert not (run / "random-split").exists()
    contract = versions.fetch(str(tmp_path / "models" / "tiny")).contract
    assert contract.training["random_split"] == random
    assert contract.training["groups"] == json.loads((run / "audit.json").read_text())["groups"]["groups"]
    assert "On a random split of the same images" in (run / "report.html").read_text()
    settings = EvaluateSettings(
        bundle=str(tmp_path / "models" / "tiny"),
        data=[str(tmp_path / "data")],
        part="test",
        cache_dir=tmp_path / "cache",
        output=tmp_path / "out",
        device="cpu",
        threads=1,
    )
    evaluate(settings)
    measured = json.loads((tmp_path / "out" / "evaluation.json").read_text())["metrics"]
    assert (measured["images"], measured["accuracy"]) == (contract.metrics.images, contract.metrics.accuracy)
