"""The other precisions of an exported model: valid, small, equal each time, and close to fp32."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fovea.images.preprocess import Pixels
from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.model.sessions import SessionOptions, open_session
from tests.trainer.conftest import train_settings
from trainer.images.data import DataSet, read_images
from trainer.images.sources import open_source
from trainer.release.half import write_fp16
from trainer.release.release import read_released
from trainer.release.variants import add_variants, write_int8
from trainer.runs.run_folder import RunFolder


def _fp16(model: Path, target: Path, crops: Pixels) -> None:
    write_fp16(model, target)


WRITERS: dict[str, Callable[[Path, Path, Pixels], None]] = {"fp16": _fp16, "int8": write_int8}


@pytest.fixture(scope="module")
def bundle(trained: Path) -> ModelBundle:
    return ModelBundle.open(trained / "models" / "tiny" / "1")


@pytest.fixture(scope="module")
def variants(bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of the other precisions. Not to be changed."""
    folder = tmp_path_factory.mktemp("variants")
    for precision, write in WRITERS.items():
        write(bundle.model_path, folder / precision, bundle.golden().crops)
    return {precision: folder / precision for precision in WRITERS}


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.02), ("int8", 0.2)])
def test_variant_answers_nearly_as_fp32_at_any_batch_size(
    bundle: ModelBundle, variants: dict[str, Path], precision: str, tolerance: float
) -> None:
    crops = bundle.golden().crops
    session = open_session(variants[precision], "cpu", SessionOptions(1))
    for count in (1, 3, len(crops)):
        logits, probabilities = session.run(["logits", "probabilities"], {"pixels": crops[:count]})
        assert logits.dtype == probabilities.dtype == np.float32
        assert np.abs(probabilities - bundle.golden().probabilities[:count]).max() < tolerance


@pytest.mark.parametrize("precision", WRITERS)
def test_variant_is_small_and_carries_the_contract(
    bundle: ModelBundle, variants: dict[str, Path], precision: str
) -> None:
    assert variants[precision].stat().st_size < 0.6 * bundle.model_path.stat().st_size
    metadata = {entry.key: entry.value for entry in onnx.load(variants[precision]).metadata_props}
    assert metadata == {"fovea": bundle.contract.embedded()}


def test_variant_made_again_is_the_same_file_and_its_maker_says_nothing(
    bundle: ModelBundle, variants: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filters = list(logging.getLogger().filters)
    for precision, write in WRITERS.items():
        write(bundle.model_path, tmp_path / precision, bundle.golden().crops)
        assert (tmp_path / precision).read_bytes() == variants[precision].read_bytes()
    assert "pre-processing before quantization" not in caplog.text
    assert logging.getLogger().filters == filters


def test_precisions_that_hold_their_accuracy_are_released_and_can_be_opened(
    released_precisions: Path, tmp_path: Path
) -> None:
    released = ModelBundle.open(released_precisions / "models" / "v" / "1")
    run = RunFolder(released_precisions / "run")
    assert set(released.contract.variants) == {"fp16", "int8"}
    for precision in ("fp32", "fp16", "int8"):
        classifier = Classifier(released, "cpu", 1, precision=precision)
        assert classifier.classify(released.golden().crops).shape == released.golden().probabilities.shape
    for precision, kind in (("fp16", onnx.TensorProto.FLOAT16), ("int8", onnx.TensorProto.INT8)):
        weights = onnx.load(released.path / f"model.{precision}.onnx").graph.initializer
        assert any(tensor.data_type == kind and len(tensor.dims) == 4 for tensor in weights)
    assert len(released.golden().files) == 16
    assert (released.path / "report.html").read_bytes() == (run.path / "report.html").read_bytes()
    recorded = read_released(run)
    assert recorded is not None
    assert (recorded.uri, recorded.metrics, recorded.refusal) == (
        str(released.path),
        released.contract.metrics,
        None,
    )
    assert read_released(RunFolder(tmp_path)) is None
    assert released.digest_of("int8") != released.digest


def test_only_the_precisions_asked_for_are_made_and_one_that_fails_says_why(
    bundle: ModelBundle, trained: Path, few_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _data(trained, few_digits, bundle.contract.preprocess)
    shutil.copy(bundle.model_path, tmp_path)
    golden = np.array([3, 1])
    settings = train_settings(few_digits, tmp_path, precisions=("fp32", "int8"), max_accuracy_drop=1.0)
    expected = np.zeros((len(data.heldout), len(bundle.contract.labels)), np.float32)
    known_classes = bundle.known_classes()
    assert known_classes is not None
    released = add_variants(tmp_path, bundle.contract, data, known_classes, expected, golden, settings, 1)
    assert (list(released.variants), released.left_out) == (["int8"], {})
    session = open_session(tmp_path / "model.int8.onnx", "cpu", SessionOptions(1))
    (probabilities,) = session.run(["probabilities"], {"pixels": data.heldout.pixels(golden)})
    assert np.array(released.variants["int8"].golden) == pytest.approx(probabilities, abs=1e-3)

    settings = settings.model_copy(update={"precisions": ("fp32", "fp16")})
    for error, why in ((RuntimeError(), "RuntimeError"), (ValueError("no\nway"), "no")):
        monkeypatch.setattr("trainer.release.variants.write_fp16", Mock(side_effect=error))
        released = add_variants(tmp_path, bundle.contract, data, known_classes, expected, golden, settings, 1)
        assert (released.variants, released.left_out) == ({}, {"fp16": why})


def test_int8_has_a_scale_for_each_channel_and_seven_bits(
    variants: dict[str, Path],
) -> None:
    model = onnx.load(variants["int8"])
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kernels = {
        name: values for name, values in tensors.items() if values.dtype == np.int8 and values.ndim == 4
    }
    assert len(kernels) == 20
    for name, values in kernels.items():
        assert np.abs(values.astype(int)).max() == 64, name
        assert len(tensors[name.replace("_quantized", "_scale")]) == len(values)
    assert (model.producer_name, model.producer_version, model.graph.name) == ("fovea", "", "classifier")


def _data(trained: Path, few_digits: Path, spec: PreprocessSpec) -> DataSet:
    split = open_source(str(few_digits), val_fraction=0.2, seed=0, cache_dir=trained / "cache")
    return read_images(split, "few", spec, trained / "cache", max_bad_fraction=0, threads=1)


def test_bundle_names_no_folder_of_the_machine_that_made_it(trained: Path) -> None:
    contract = (trained / "models" / "tiny" / "1" / "bundle.json").read_text()
    assert not [name for name in ("runs", "cache", "models") if str(trained / name) in contract]
