"""The other precisions of an exported model: valid, small, equal each time, and close to fp32."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from fovea.bundle import ModelBundle
from fovea.classifier import open_session
from fovea.preprocess import Pixels
from trainer.variants import write_fp16, write_int8

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
    session = open_session(tmp_path / "variant.onnx", "cpu", 1)
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
