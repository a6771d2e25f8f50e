"""Which images stand for the others: golden ones, those that int8 is calibrated on; and what it may lose."""

from pathlib import Path

import numpy as np
import pytest

from fovea.errors import GateRefused
from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import Variant
from tests.tiny import stage_bundle
from trainer.evaluate.latency import Latency
from trainer.evaluate.task import Measured
from trainer.images.batches import Images
from trainer.images.sources import Sample
from trainer.pages.markup import environment
from trainer.release.variants import _check_drop, _Crops, calibration_crops, spread_over_classes
from trainer.report import released
from trainer.report.released import describe_files


def test_drop_may_be_as_large_as_was_allowed_and_no_larger(tmp_path: Path) -> None:
    staged = stage_bundle(tmp_path / "bundle").contract
    metrics = staged.metrics.model_copy(update={"accuracy": 0.9})
    contract = staged.model_copy(update={"metrics": metrics})
    measured = Measured(metrics.model_copy(update={"accuracy": 0.85}))
    _check_drop(contract, measured, 0.05)
    with pytest.raises(GateRefused, match=r"85.00%, 5.00% below fp32's, more than --max-accuracy-drop 4.90%"):
        _check_drop(contract, measured, 0.049)


def test_of_several_labels_what_is_selected_may_lose_no_more_either(tmp_path: Path) -> None:
    contract = stage_bundle(tmp_path / "bundle", multi=True).contract
    assert contract.label_metrics is not None
    as_well_ranked = contract.label_metrics.model_copy(update={"micro_f1": 0.9})
    measured = Measured(contract.metrics, as_well_ranked)
    _check_drop(contract, measured, 0.1)
    with pytest.raises(GateRefused, match=r"micro F1 at its thresholds is 90.00%, 10.00% below fp32's"):
        _check_drop(contract, measured, 0.09)


def test_a_file_of_several_labels_has_its_micro_f1_in_the_report(tmp_path: Path) -> None:
    bundle = stage_bundle(tmp_path / "bundle", multi=True)
    contract, latency = bundle.contract, Latency(1, 1, 1)
    assert contract.label_metrics is not None
    fp16 = Variant(
        file="model.onnx",
        metrics=contract.metrics,
        golden=(),
        label_metrics=contract.label_metrics.model_copy(update={"micro_f1": 0.875}),
    )
    contract = contract.model_copy(update={"variants": {"fp16": fp16}})
    files = describe_files(bundle.path, contract, {"fp32": latency, "fp16": latency}, {}, "")
    assert [(file.f1, file.f1_drop) for file in files.files] == [(1.0, 0.0), (0.875, 0.125)]
    page = environment(Path(released.__file__).parent).get_template("sections/files.html.j2")
    assert "<td>12.50 points</td>" in page.render(contract=contract, released=files)


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
