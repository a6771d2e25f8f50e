"""A graph that refers to its weights, read by onnx itself, is the model that it was made of."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from fovea.model.external_data import without_weights
from tests.fovea.model.test_shared_weights import write_network


def write_odd_weights(path: Path) -> Path:
    """As raw bytes and as numbers, small and large, of several types, in the graph of a branch too."""
    random = np.random.default_rng(0)
    large = numpy_helper.from_array(random.normal(size=(300, 7)).astype(np.float32), "large")
    inner = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["chosen"])],
        "branch",
        [],
        [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, [300, 7])],
        [numpy_helper.from_array(random.normal(size=(300, 7)).astype(np.float32), "inner")],
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["flag"], ["out"], then_branch=inner, else_branch=inner)],
        "odd",
        [helper.make_tensor_value_info("flag", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [300, 7])],
        [
            large,
            numpy_helper.from_array(np.arange(3, dtype=np.int64), "small"),
            helper.make_tensor("numbers", TensorProto.FLOAT, [400], random.normal(size=400)),
            numpy_helper.from_array(random.integers(-128, 128, 5000, np.int8), "bytes"),
            numpy_helper.from_array(np.array(["a" * 2000, "b"], object), "words"),
        ],
        doc_string="x" * 2000,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"fovea": "the contract"})
    onnx.save(model, path)
    return path


def test_a_reader_of_external_data_gets_the_model(tmp_path: Path) -> None:
    models = {
        write_network(tmp_path / "fp32.onnx"): ["first", "kernel", "second"],
        write_network(tmp_path / "fp16.onnx", np.float16): ["first", "second"],
        write_odd_weights(tmp_path / "odd.onnx"): ["bytes", "large"],
    }
    for path, referred in models.items():
        graph = onnx.load_model_from_string(without_weights(path, 1024))
        tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
        assert sorted(name for name, tensor in tensors.items() if not _has_values(tensor)) == referred
        load_external_data_for_model(graph, str(tmp_path))
        for tensor in graph.graph.initializer:
            tensor.ClearField("data_location")  # which onnx leaves as the default that it is
        expected = onnx.load(path)
        for tensor in expected.graph.initializer:
            tensor.ClearField("data_location")
        assert graph == expected, path


def _has_values(tensor: TensorProto) -> bool:
    return tensor.data_location != TensorProto.EXTERNAL


def test_of_a_file_that_was_cut_nothing_is_made(tmp_path: Path) -> None:
    path = write_network(tmp_path / "whole.onnx")
    whole, cut = path.read_bytes(), tmp_path / "cut.onnx"
    graph = onnx.load(path).graph.ByteSize()
    for length in (len(whole) - graph, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"byte \d+: "):
            without_weights(cut, 1024)
    for not_a_model in (b"\x0f", b"\x80" * 12, b""):
        cut.write_bytes(not_a_model)
        with pytest.raises(ValueError, match=r"byte 0: |empty file"):
            without_weights(cut, 1024)
