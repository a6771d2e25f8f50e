"""The exported graph is the one that was meant, or it is refused."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fovea.errors import GateRefused
from trainer.release.export import _check

SIDE = 4


def _scalar(name: str, value: float, count: int = 3) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, [count], [value] * count)


def _model(opset: int = 20, batch: str | int = "batch") -> onnx.ModelProto:
    """A convolution, and a batch norm of what is not convolved."""
    norm = [_scalar(name, 1.0) for name in ("scale", "shift", "mean", "variance")]
    nodes = [
        helper.make_node("BatchNormalization", ["pixels", "scale", "shift", "mean", "variance"], ["normed"]),
        helper.make_node("Conv", ["normed", "weights"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["logits"]),
    ]
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [2, 3, 1, 1], [0.5] * 6)
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2, SIDE, SIDE])],
        [*norm, weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def _norm_after_convolution(model: onnx.ModelProto) -> None:
    names = [f"after_{name}" for name in ("scale", "shift", "mean", "variance")]
    model.graph.initializer.extend(_scalar(name, 1.0, 2) for name in names)
    model.graph.node[-1].input[0] = "normed_again"
    model.graph.node.insert(
        2, helper.make_node("BatchNormalization", ["convolved", *names], ["normed_again"])
    )


def _external_weights(model: onnx.ModelProto) -> None:
    weights = model.graph.initializer[-1]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights), weights.name))
    onnx.external_data_helper.set_external_data(weights, "weights.bin")
    weights.ClearField("raw_data")


def test_graph_that_was_meant_is_taken() -> None:
    _check(_model())


def test_another_opset_is_refused() -> None:
    with pytest.raises(GateRefused, match="the graph uses the opsets"):
        _check(_model(opset=19))


def test_second_opset_is_refused() -> None:
    model = _model()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(GateRefused, match=r"the graph uses the opsets .*com\.microsoft"):
        _check(model)


def test_fixed_batch_is_refused() -> None:
    with pytest.raises(GateRefused, match="the batch dimension is not dynamic"):
        _check(_model(batch=2))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_norm_after_convolution, "a batch norm was not folded into its convolution"),
        (_external_weights, "weights lie outside the file"),
    ],
)
def test_unfolded_norm_and_outside_weights_are_refused(
    spoil: Callable[[onnx.ModelProto], None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(24 * b"\0")
    model = _model()
    spoil(model)
    with pytest.raises(GateRefused, match=said):
        _check(model)


def test_norm_beside_which_another_layer_reads_the_convolution_need_not_be_folded() -> None:
    """As of MaxViT, whose blocks begin with a norm and add what they were given: to fold it changes that."""
    model = _model()
    _norm_after_convolution(model)
    with pytest.raises(GateRefused, match="not folded"):
        _check(model)
    model.graph.node.append(helper.make_node("Identity", ["convolved"], ["read_too"]))
    _check(model)


def test_graph_that_is_none_is_refused_by_the_checker() -> None:
    model = _model()
    model.graph.node[1].input[1] = "nowhere"
    with pytest.raises(GateRefused, match=r"the graph is not valid ONNX: .*nowhere"):
        _check(model)


def test_shapes_that_contradict_each_other_are_refused() -> None:
    model = _model()
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    with pytest.raises(GateRefused, match=r"the graph is not valid ONNX: .*differ in dimension 1"):
        _check(model)
