"""Which images stand for the others: golden ones, those that int8 is calibrated on; and what it may lose."""

from pathlib import Path

import numpy as np
import pytest

from fovea.errors import GateRefused
from fovea.images.spec import PreprocessSpec
from tests.tiny import stage_bundle
from trainer.evaluate.task import Measured
from trainer.images.batches import Images
from trainer.images.sources import Sample
from trainer.release.variants import _check_drop, _Crops, calibration_crops, spread_over_classes


def test_drop_may_be_as_large_as_was_allowed_and_no_larger(tmp_path: Path) -> None:
    staged = stage_bundle(tmp_path / "bundle").contract
    metrics = staged.metrics.model_copy(update={"accuracy": 0.9})
    contract = staged.model_copy(update={"metrics": metrics})
    measured = Measured(metrics.model_copy(update={"accuracy": 0.85}))
    _check_drop(contract, measured, 0.05)
    with pytest.raises(GateRefused, match=r"85.00%, 5.00% below fp32's, more than --max-accuracy-drop 4.90%"):
        _check_drop(contract, measured, 0.049)


def test_images_are_spread_over_the_classes_in_their_order() -> None:
    assert spread_over_classes(np.array([0, 0, 0, 1, 1, 2]), 4).tolist() == [0, 3, 5, 1]


def test_calibration_is_on_256_centres_spread_over_the_classes() -> None:
    targets = np.repeat([0, 1, 2], [400, 150, 50])
    cache = np.random.default_rng(0).integers(0, 256, (600, 6, 10, 3), np.uint8)
    images = Images(cache, np.arange(600), targets, (Sample(Path("x.png"), "x"),) * 600)
    crops = calibration_crops(images, PreprocessSpec(size=4, resize=6), seed=1)
    place_of = {whole[1:5, 3:7].tobytes(): place for place, whole in enumerate(cache)}
    places = [place_of[crop.tobytes()] for crop in crops]
    assert places == sorted(set(places))
    assert np.bincount(targets[places]).tolist() == [103, 103, 50]
    assert np.array_equal(crops, calibration_crops(images, PreprocessSpec(size=4, resize=6), seed=1))
    assert not np.array_equal(crops, calibration_crops(images, PreprocessSpec(size=4, resize=6), seed=2))
    padded = calibration_crops(images, PreprocessSpec(size=4, resize=4, fit="pad"), seed=1)
    assert padded.shape == (256, 4, 4, 3)
    assert np.abs(padded.mean((1, 2, 3)) - cache[places].mean((1, 2, 3))).max() < 20  # whole, and no corners
    reader, sizes = _Crops(crops[:40]), []
    while batch := reader.get_next():
        sizes.append(len(batch["pixels"]))
    assert sizes == [16, 16, 8]
