"""Eight bits are right on every processor: what is known of one is asked of it, not read from a list."""

import base64
import subprocess
import sys
from pathlib import Path
from shutil import which

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fovea.model import saturation
from fovea.model.bundle import Precision
from fovea.model.classifier import Classifier
from fovea.model.saturation import CHANNELS, EXACT, needs_exact_sums, saturates, sums_are_exact
from fovea.model.sessions import SessionOptions
from fovea.model.shared_weights import share
from tests import tiny

ROOT = Path(__file__).parents[3]
WEIGHT, BRIGHTEST = 127, 255


def known_answer(in_kernel: int = WEIGHT, in_matrix: int = WEIGHT) -> onnx.ModelProto:
    """A convolution and a matrix product of the largest numbers, both by kernels of int8."""
    scale = CHANNELS * BRIGHTEST * WEIGHT / EXACT
    kernel, matrix = (
        helper.make_tensor("value", TensorProto.INT8, [1], [weight]) for weight in (in_kernel, in_matrix)
    )
    constants = {
        "kernel_shape": np.array([16, CHANNELS, 1, 1]),
        "matrix_shape": np.array([CHANNELS, 16]),
        "one": np.array(1, np.float32),
        "scale": np.array(scale, np.float32),
        "zero": np.array(0, np.uint8),
        "kernel_zero": np.array(0, np.int8),
        "matrix_zero": np.array(0, np.int8),  # onnxruntime cannot make one zero of both unsigned twice
    }
    pixels, sums = ["one", "zero"], ["scale", "zero"]
    nodes = [
        helper.make_node("ConstantOfShape", ["kernel_shape"], ["kernel"], value=kernel),
        helper.make_node("ConstantOfShape", ["matrix_shape"], ["matrix"], value=matrix),
        helper.make_node(
            "QLinearConv", ["pixels", *pixels, "kernel", "one", "kernel_zero", *sums], ["convolved"]
        ),
        helper.make_node("Flatten", ["convolved"], ["first"]),
        helper.make_node("Flatten", ["pixels"], ["row"]),
        helper.make_node(
            "QLinearMatMul", ["row", *pixels, "matrix", "one", "matrix_zero", *sums], ["second"]
        ),
        helper.make_node("Concat", ["first", "second"], ["sums"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, CHANNELS, 1, 1])],
        [helper.make_tensor_value_info("sums", TensorProto.UINT8, [1, 32])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_the_known_answer_is_that_of_the_largest_numbers() -> None:
    assert base64.b64decode(saturation.KNOWN_ANSWER) == known_answer().SerializeToString()
    in_sixteen_bits = np.iinfo(np.int16).max
    assert in_sixteen_bits / (2 * BRIGHTEST * WEIGHT) == pytest.approx(0.51, abs=0.01)
    assert in_sixteen_bits >= 2 * BRIGHTEST * 64  # seven bits are right everywhere


def test_kernels_that_are_asked_to_be_exact_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sums_are_exact(SessionOptions(threads=1, exact_sums=True))
    assert saturates() == (not sums_are_exact(SessionOptions(threads=1)))
    for wrong in ({"in_kernel": 64}, {"in_matrix": 64}):  # as of kernels that lose a half, for either
        answer = base64.b64encode(known_answer(**wrong).SerializeToString())
        monkeypatch.setattr(saturation, "KNOWN_ANSWER", answer)
        assert not sums_are_exact(SessionOptions(threads=1, exact_sums=True))


@pytest.mark.slow
@pytest.mark.skipif(which("qemu-x86_64") is None, reason="has an emulator be a processor without VNNI")
def test_a_processor_without_vnni_is_told_by_what_it_computes() -> None:
    command = (
        "from fovea.model.saturation import *; exact = SessionOptions(1, exact_sums=True); "
        "print(saturates(), sums_are_exact(exact))"
    )
    haswell = ["qemu-x86_64", "-cpu", "Haswell", sys.executable, "-c", command]
    ended = subprocess.run(haswell, capture_output=True, text=True, check=True, cwd=ROOT, timeout=300)
    assert ended.stdout == "True True\n"


@pytest.mark.parametrize("here", [True, False])
def test_only_eight_bits_need_them_and_only_where_sums_saturate(
    here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saturation, "saturates", lambda: here)
    asked: tuple[Precision, ...] = ("fp32", "fp16", "int8", "int8-full")
    assert [name for name in asked if needs_exact_sums(name)] == (["int8-full"] if here else [])


@pytest.mark.parametrize("here", [True, False])
def test_a_classifier_opens_eight_bits_so_that_they_are_exact(
    here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saturation, "saturates", lambda: here)
    bundle = tiny.stage_bundle(tmp_path / "bundle", variants={"int8": 7.9, "int8-full": 7.95})
    asked: tuple[Precision, ...] = ("fp32", "int8", "int8-full")
    exact = [name for name in asked if has_exact_sums(Classifier(bundle, "cpu", 1, name))]
    assert exact == (["int8-full"] if here else [])
    wherever = SessionOptions(threads=1, exact_sums=True)
    assert has_exact_sums(Classifier(bundle, "cpu", precision="int8-full", options=wherever))
    as_written = share(bundle.file_of("int8-full"), tmp_path / "shared", exact_sums=here)
    assert not has_exact_sums(Classifier(bundle, "cpu", 1, "int8-full", shared=as_written))


def has_exact_sums(classifier: Classifier) -> bool:
    options = classifier._session.get_session_options()
    try:
        return bool(options.get_session_config_entry("session.x64quantprecision") == "1")
    except RuntimeError:  # there is none
        return False
