"""The other precisions of an exported model: valid, small, equal each time, and close to fp32."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fovea.errors import BundleInvalid
from fovea.images.preprocess import Pixels
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.model.sessions import SessionOptions, open_session
from fovea.stopping import Stopping
from tests.trainer.conftest import train_settings
from trainer.images.data import read_images
from trainer.images.sources import open_source
from trainer.network.checkpoint import Checkpoint
from trainer.release.publishing import Terms
from trainer.release.release import release
from trainer.release.variants import write_fp16, write_int8
from trainer.run_folder import RunFolder

Writer = Callable[[Path, Path, Pixels], None]


def _fp16(model: Path, target: Path, crops: Pixels) -> None:
    write_fp16(model, target)


WRITERS = pytest.mark.parametrize(("write", "tolerance"), [(_fp16, 0.02), (write_int8, 0.2)])


@pytest.fixture(scope="module")
def bundle(trained: Path) -> ModelBundle:
    return ModelBundle.open(trained / "models" / "tiny" / "1")


@WRITERS
def test_variant_answers_nearly_as_fp32_at_any_batch_size(
    bundle: ModelBundle, tmp_path: Path, write: Writer, tolerance: float
) -> None:
    crops = bundle.golden().crops
    write(bundle.model_path, tmp_path / "variant.onnx", crops)
    session = open_session(tmp_path / "variant.onnx", "cpu", SessionOptions(1))
    for count in (1, 3, len(crops)):
        logits, found = session.run(["logits", "probabilities"], {"pixels": crops[:count]})
        assert logits.dtype == found.dtype == np.float32
        assert np.abs(found - bundle.golden().probabilities[:count]).max() < tolerance


@WRITERS
def test_variant_is_small_and_carries_the_contract(
    bundle: ModelBundle, tmp_path: Path, write: Writer, tolerance: float
) -> None:
    target = tmp_path / "variant.onnx"
    write(bundle.model_path, target, bundle.golden().crops)
    assert target.stat().st_size < 0.6 * bundle.model_path.stat().st_size
    metadata = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert metadata == {"fovea": bundle.contract.embedded()}


@WRITERS
def test_variant_made_twice_is_the_same_file(
    bundle: ModelBundle, tmp_path: Path, write: Writer, tolerance: float
) -> None:
    for name in ("one.onnx", "two.onnx"):
        write(bundle.model_path, tmp_path / name, bundle.golden().crops)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_precisions_that_hold_their_accuracy_are_released_and_can_be_opened(
    trained: Path, few_digits: Path, own_run: Path, tmp_path: Path
) -> None:
    released = _release(trained, few_digits, own_run, tmp_path, max_accuracy_drop=1.0)
    assert set(released.contract.variants) == {"fp16", "int8"}
    for precision in ("fp32", "fp16", "int8"):
        classifier = Classifier(released, "cpu", 1, precision=precision)
        assert classifier.classify(released.golden().crops).shape == released.golden().probabilities.shape
    assert released.digest_of("int8") != released.digest


def test_ruined_variant_is_left_out_and_the_rest_is_released(
    trained: Path,
    few_digits: Path,
    own_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def ruin(model: Path, target: Path) -> None:
        write_fp16(model, target)
        variant = onnx.load(target)
        for tensor in variant.graph.initializer:
            if len(tensor.dims) == 4:
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        onnx.save(variant, target)

    monkeypatch.setattr("trainer.release.variants.write_fp16", ruin)
    released = _release(trained, few_digits, own_run, tmp_path, max_accuracy_drop=0.05)
    assert "fp16 is left out of the release: its held-out accuracy is" in caplog.text
    assert "fp16" not in released.contract.variants
    assert "model.fp16.onnx" not in released.contract.files
    assert "left out: its held-out accuracy is" in (own_run / "report.html").read_text()
    with pytest.raises(BundleInvalid, match="has no fp16 model"):
        Classifier(released, "cpu", 1, precision="fp16")


def _release(trained: Path, few_digits: Path, run: Path, root: Path, max_accuracy_drop: float) -> ModelBundle:
    checkpoint = Checkpoint.load(run)
    split = open_source(str(few_digits), val_fraction=0.2, seed=0, cache_dir=trained / "cache")
    data = read_images(split, "few", checkpoint.preprocess, trained / "cache", max_bad_fraction=0, threads=1)
    settings = train_settings(
        few_digits, root, precisions=("fp32", "fp16", "int8"), max_accuracy_drop=max_accuracy_drop
    )
    models = str(root / "models" / "v")
    release(RunFolder(run), checkpoint, data, settings, models, Terms(anyway=True), 1, Stopping())
    return ModelBundle.open(root / "models" / "v" / "1")


def test_bundle_names_no_folder_of_the_machine_that_made_it(trained: Path) -> None:
    contract = (trained / "models" / "tiny" / "1" / "bundle.json").read_text()
    assert not [name for name in ("runs", "cache", "models") if str(trained / name) in contract]
