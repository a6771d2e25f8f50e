"""Networks that are not ours become bundles; what is no image network is refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.measuring import write_files
from benchmarks.networks import Bundles, in_one_form, pool_network
from benchmarks.serving_models import photographs
from fovea.errors import DataInvalid
from fovea.model import versions
from fovea.model.classifier import Classifier

CLASSES = 5
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)


def foreign(
    shape: tuple[str | int, ...] = ("n", 32, 32, 3), type_: int = TensorProto.UINT8
) -> onnx.ModelProto:
    """Means of the image's channels and a linear layer; its names are those that a bundle gives otherwise."""
    weights = np.random.default_rng(1).normal(0, 0.02, (int(shape[-1]), CLASSES)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["logits"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["answer"]),
    ]
    values: dict[str, npt.NDArray[Any]] = {"weights": weights, "axes": np.array([1, 2], np.int64)}
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("logits", type_, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ("n", CLASSES))],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answers(network: onnx.ModelProto) -> dict[str, npt.NDArray[np.float32]]:
    session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: IMAGES}), strict=True))


def test_network_keeps_its_answers_and_gets_our_names(tmp_path: Path) -> None:
    onnx.save(foreign(), tmp_path / "foreign.onnx")
    (expected,) = answers(foreign()).values()
    seen = answers(in_one_form(tmp_path / "foreign.onnx"))
    assert set(seen) == {"logits", "probabilities"}
    np.testing.assert_array_equal(seen["logits"], expected)
    powers = np.exp(expected - expected.max(1, keepdims=True))
    np.testing.assert_allclose(seen["probabilities"], powers / powers.sum(1, keepdims=True), atol=1e-6)


def test_network_that_has_probabilities_keeps_them(tmp_path: Path) -> None:
    onnx.save(pool_network(), tmp_path / "pool.onnx")
    network = in_one_form(tmp_path / "pool.onnx")
    assert [node.op_type for node in network.graph.node].count("Softmax") == 1


def test_network_is_published_with_golden_answers_of_its_own(tmp_path: Path) -> None:
    onnx.save(foreign(), tmp_path / "Some Net.onnx")
    pictures = write_files(tmp_path / "photographs", photographs(4, 120, 90))
    models = Bundles(tmp_path, pictures).of_file(tmp_path / "Some Net.onnx")
    assert models.name.startswith("some-net-")
    bundle = versions.fetch(str(models))
    assert Classifier(bundle, "cpu").classify(IMAGES).shape == (3, CLASSES)  # which makes the golden check
    Bundles(tmp_path, pictures).publish_another(models)
    other = versions.fetch(str(models))
    assert other.contract.version == 2
    assert other.digest != bundle.digest


def test_what_is_no_image_network_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = {
        "takes logits tensor(float)": foreign(type_=TensorProto.FLOAT),
        "takes logits tensor(uint8) [2, 32, 32, 3]": foreign((2, 32, 32, 3)),
        "takes logits tensor(uint8) ['n', 32, 16, 3]": foreign(("n", 32, 16, 3)),
        "takes logits tensor(uint8) ['n', 3, 32, 32]": foreign(("n", 3, 32, 32)),
    }
    for text, network in refused.items():
        onnx.save(network, tmp_path / "model.onnx")
        with pytest.raises(DataInvalid, match=r"wanted is uint8 \[batch, S, S, 3\]") as caught:
            in_one_form(tmp_path / "model.onnx")
        assert f"model.onnx: {text}" in str(caught.value)
    (tmp_path / "model.onnx").write_text("no model")
    with pytest.raises(DataInvalid, match=r"model\.onnx: no ONNX model that runs"):
        in_one_form(tmp_path / "model.onnx")
    with pytest.raises(DataInvalid, match=r"missing\.onnx: cannot be read: No such file"):
        in_one_form(tmp_path / "missing.onnx")
