"""A training with --fit pad, from files that are not square to a bundle that is opened and looked into."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fovea.images.preprocess import decode_image
from fovea.images.spec import PAD_COLOUR
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from tests.trainer.conftest import train_settings
from tests.trainer.interruptions import assert_a_break_changes_nothing
from trainer import job


@pytest.fixture(scope="module")
def wide(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits at one end of wide images or tall ones, where a crop of the centre would not show them."""
    root = tmp_path_factory.mktemp("wide")
    for file in few_digits.rglob("*.png"):
        digit = Image.open(file).convert("RGB").resize((24, 24))
        page = Image.new("RGB", (72, 24) if int(file.stem.split("-")[-1], 36) % 2 else (24, 72), "black")
        page.paste(digit)
        target = root / file.relative_to(few_digits)
        target.parent.mkdir(parents=True, exist_ok=True)
        page.save(target)
    return root


@pytest.mark.slow
def test_padded_images_are_trained_on_gated_and_released(wide: Path, tmp_path: Path) -> None:
    options = {"arch": "squeezenet1_1", "lr": 1e-3, "fit": "pad", "resize": 36}
    settings = train_settings(wide, tmp_path, **options)
    job.train(settings)
    bundle = ModelBundle.open(tmp_path / "models" / "tiny" / "1")
    spec, golden = bundle.contract.preprocess, bundle.golden()
    assert (spec.fit, spec.size, spec.resize, spec.format) == ("pad", 32, 32, 2)
    assert any((crop[0] == PAD_COLOUR).all() for crop in golden.crops)
    assert np.array_equal(decode_image(golden.files[0], spec), golden.crops[0])
    Classifier(bundle, "cpu", 1)  # makes the golden check
    report = (bundle.path / "report.html").read_text()
    assert "longer side 32, padded with #7c7468, bilinear" in report


def test_padded_training_goes_on_after_a_break(wide: Path, tmp_path: Path) -> None:
    assert_a_break_changes_nothing(8, wide, tmp_path, fit="pad", sizes=(24, 32), epochs=2, mixup=0.2)
