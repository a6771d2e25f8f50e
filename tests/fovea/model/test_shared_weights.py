"""A model whose weights every session maps: the same answers, from the same pages."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from fovea.errors import BundleInvalid, Unavailable
from fovea.model import shared_weights
from fovea.model.sessions import SessionOptions, open_session, ort, ort_options

SIDE, CLASSES = 64, 10
WIDE = 640
"""Of the hidden layer, of 31 MB of weights."""
MEMORY = """
import sys
from pathlib import Path
from fovea.model.sessions import SessionOptions, open_session
def anonymous_kb():
    return int(next(line for line in open("/proc/self/smaps_rollup") if "Anonymous:" in line).split()[1])
before = anonymous_kb()
session = open_session(Path(sys.argv[1]), "cpu", SessionOptions(1, is_optimized=sys.argv[2] == "True"))
print(anonymous_kb() - before)
"""
HIGHEST = """
import sys
from pathlib import Path
from fovea.model.shared_weights import share
def highest_kb():
    return int(next(line for line in open("/proc/self/status") if "VmHWM:" in line).split()[1])
before = highest_kb()
share(Path(sys.argv[1]), Path(sys.argv[2]))
print(highest_kb() - before)
"""


def write_network(path: Path, dtype: Any = np.float32, hidden: int = 64) -> Path:
    """A convolution and two layers, all of `dtype`; pixels uint8 [n, 64, 64, 3] to probabilities float32."""
    random = np.random.default_rng(0)
    weights = {
        "kernel": random.normal(0, 0.1, (12, 3, 3, 3)),
        "first": random.normal(0, 0.01, (12 * 32 * 32, hidden)),
        "second": random.normal(0, 0.1, (hidden, CLASSES)),
    }
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=kind),
        helper.make_node("Transpose", ["numbers"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["seen"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["seen"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["logits"], to=TensorProto.FLOAT),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(value.astype(dtype), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"fovea": "the contract"})
    onnx.save(model, path)
    return path


def answers(model: Path, options: SessionOptions) -> npt.NDArray[np.float32]:
    session = open_session(model, "cpu", options)
    assert session.get_modelmeta().custom_metadata_map["fovea"] == "the contract"
    pixels = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    (probabilities,) = session.run(["probabilities"], {"pixels": pixels})
    return np.asarray(probabilities)


def test_answers_are_equal_to_the_bit_in_every_precision(tmp_path: Path) -> None:
    models = [write_network(tmp_path / "fp32.onnx"), write_network(tmp_path / "fp16.onnx", np.float16)]
    models.append(tmp_path / "int8.onnx")
    quantize_dynamic(models[0], models[2], weight_type=QuantType.QInt8)
    for model in models:
        shared = shared_weights.share(model, tmp_path / model.stem)
        for threads in (1, 2):
            plain = answers(model, SessionOptions(threads=threads))
            mapped = answers(shared, SessionOptions(threads=threads, is_optimized=True))
            assert plain.std() > 0.01
            assert np.array_equal(plain, mapped), model.stem
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["fp16", "fp32", "int8"]


def test_a_model_that_another_reads_and_we_do_not_is_shared_all_the_same(tmp_path: Path) -> None:
    model = write_network(tmp_path / "model.onnx")
    of_a_later_format = b"\xfd\x7f" + bytes(4)  # field 2047, of four bytes
    model.write_bytes(model.read_bytes() + of_a_later_format)
    shared = shared_weights.share(model, tmp_path / "shared")
    assert np.array_equal(
        answers(model, SessionOptions(1)), answers(shared, SessionOptions(1, is_optimized=True))
    )


def test_weights_that_were_made_unsigned_are_shared_so(tmp_path: Path) -> None:
    model = tmp_path / "int8.onnx"
    quantize_dynamic(write_network(tmp_path / "fp32.onnx"), model, weight_type=QuantType.QInt8)
    exact = SessionOptions(threads=1, exact_sums=True)
    shared = shared_weights.share(model, tmp_path / "shared", exact_sums=True)
    tensors = onnx.load(shared, load_external_data=False).graph.initializer
    (first,) = [tensor for tensor in tensors if tensor.name.startswith("first") and len(tensor.dims) == 2]
    assert first.data_type == TensorProto.UINT8
    mapped = answers(shared, SessionOptions(threads=1, is_optimized=True))
    assert np.array_equal(answers(model, exact), mapped)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_session_has_no_weights_of_its_own(tmp_path: Path) -> None:
    model = write_network(tmp_path / "wide.onnx", hidden=WIDE)
    shared = shared_weights.share(model, tmp_path / "shared")
    plain, mapped = (_said_kb(MEMORY, path, path is shared) for path in (model, shared))
    assert plain > 30_000
    assert mapped < plain / 10


def test_what_is_optimised_already_is_loaded_as_it_is() -> None:
    level = ort_options(SessionOptions(is_optimized=True)).graph_optimization_level
    assert level == ort.GraphOptimizationLevel.ORT_DISABLE_ALL


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sharing_takes_little_more_than_the_weights_twice(tmp_path: Path) -> None:
    model = write_network(tmp_path / "wide.onnx", hidden=WIDE)
    assert _said_kb(HIGHEST, model, tmp_path / "shared") < 2.7 * model.stat().st_size / 1024


def _said_kb(program: str, *arguments: object) -> int:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_what_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    model = write_network(tmp_path / "model.onnx")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))  # as on a disk that is full
    try:
        with pytest.raises(Unavailable, match="cannot write the optimised model"):
            shared_weights.share(model, tmp_path / "shared")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    with pytest.raises(Unavailable, match="cannot be written to: Not a directory"):
        shared_weights.share(model, model / "shared")


def test_a_model_that_is_none_is_told_as_without_sharing(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(BundleInvalid, match=r"bad\.onnx: onnxruntime cannot load it: "):
        shared_weights.share(tmp_path / "bad.onnx", tmp_path / "shared")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]
