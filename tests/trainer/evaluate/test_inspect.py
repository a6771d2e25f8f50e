"""`inspect`: what a released model is, in words and as JSON."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import BundleInvalid
from fovea.model.bundle import ModelBundle, parse_contract, seal
from fovea.truth.sets import MeasuredSets, PredictionSets
from tests.buckets import Bucket
from tests.tiny import publish_bundle, stage_bundle
from trainer.config import InspectSettings
from trainer.evaluate import command
from trainer.runs.lineage import Lineage


def _inspect(bundle: Path | str, capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    capsys.readouterr()
    command.inspect(InspectSettings(bundle=str(bundle), **options))
    return capsys.readouterr().out


def test_trained_model_tells_what_it_does_and_where_it_comes_from(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained / "models" / "tiny" / "1"
    said, contract = _inspect(model, capsys), ModelBundle.open(model).contract
    lineage = Lineage.of(contract.training)
    assert lineage.learning_rate is not None
    for fact in (
        "tiny version 1, of ",
        "2: 0, 1",
        "uint8 [batch, 32, 32, 3]",
        "resnet18",
        str(lineage.data_digest),
        str(lineage.learning_rate.why),
        f"fp32: {contract.metrics.accuracy:.2%} of 20 images right",
        "hold the truth for 95 % of images, which was not measured",
        *contract.files.values(),
    ):
        assert fact in said


def test_what_was_measured_on_a_part_test_is_told_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, staged = stage_bundle(tmp_path / "staged"), tmp_path / "staged"
    measured = MeasuredSets(images=40, covered=39, interval_95=(0.8, 1), mean_size=1.2, empty=0)
    sets = PredictionSets(coverage=0.9, quantile=0.8, images=50, measured=measured)
    update = {"measured_on": "test", "prediction_sets": sets}
    seal(staged, bundle.contract.model_copy(update=update))
    said = _inspect(staged, capsys)
    assert "hold the truth for 90 % of images; measured 97.5% of 40" in said
    assert "measured on a part test, by which nothing was chosen" in said


def test_thresholds_that_the_told_images_chose_are_told_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage_bundle(tmp_path / "staged", multi=True)
    said = _inspect(tmp_path / "staged", capsys)
    assert "the held-out images, by which temperatures and thresholds were chosen" in said


def test_json_is_the_contract(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = _inspect(trained / "models" / "tiny", capsys, as_json=True)
    assert parse_contract(said.encode(), "stdout") == ModelBundle.open(trained / "models/tiny/1").contract
    assert json.loads(said)["name"] == "tiny"


def test_model_of_another_maker_is_shown_as_far_as_it_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_bundle(tmp_path / "models", tmp_path / "staged")
    said = _inspect(tmp_path / "models", capsys)
    assert "colour-mean" in said
    assert "learning rate" not in said


def test_model_in_a_bucket_is_shown(
    tmp_path: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    publish_bundle(tmp_path / "models" / "colours", tmp_path / "staged")
    bucket.put_folder("models/colours", tmp_path / "models" / "colours")
    assert "colours version 1" in _inspect(f"{bucket.uri}/models/colours/1", capsys)


def test_damaged_model_is_refused_by_the_name_of_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_bundle(tmp_path / "models", tmp_path / "staged")
    (tmp_path / "models" / "1" / "report.html").write_text("changed")
    with pytest.raises(BundleInvalid, match=r"report\.html: changed since it was released"):
        _inspect(tmp_path / "models", capsys)


def test_contract_that_differs_from_the_one_in_the_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_bundle(tmp_path / "models", tmp_path / "staged")
    contract = tmp_path / "models" / "1" / "bundle.json"
    contract.write_text(contract.read_text().replace('"blue"', '"mauve"'))
    with pytest.raises(BundleInvalid, match="and the contract inside fp32 differ"):
        _inspect(tmp_path / "models", capsys)


@pytest.mark.parametrize(
    "training",
    [
        {"settings": None, "learning_rate": "x", "versions": []},
        {"learning_rate": {"lr": 0.1}, "weights": ["a"], "data_digest": "x"},
        {},
    ],
)
def test_lineage_of_any_kind_is_shown_as_far_as_it_goes(
    training: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_bundle(tmp_path / "models", tmp_path / "staged")
    path = tmp_path / "models" / "1" / "bundle.json"
    contract = json.loads(path.read_text()) | {"training": training}
    contract["metrics"]["images"] = 0
    path.write_text(json.dumps(contract))
    assert "fp32: measured on no image" in _inspect(tmp_path / "models", capsys)


def test_folder_without_a_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BundleInvalid, match="no model is published here"):
        _inspect(tmp_path, capsys)


def test_looking_at_a_model_does_not_load_torch() -> None:
    code = "import sys, trainer.evaluate.command; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
