"""float16 where the embedding shares constants with the rest, and runtimes that do not survive a model."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from fovea.errors import GateRefused
from fovea.model.bundle import METADATA_KEY
from trainer.release import trial
from trainer.release.half import write_fp16
from trainer.release.trial import survive


def write_model(path: Path) -> Path:
    """The embedding is the direction of what the probabilities are made of: both reduce by one constant, and
    both clip by one."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "sides"], ["pooled"], keepdims=0),
        helper.make_node("Clip", ["pooled", "least"], ["positive"]),
        helper.make_node("MatMul", ["positive", "weights"], ["logits"]),
        helper.make_node("ReduceMean", ["logits", "last"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["logits", "mean"], ["centred"]),
        helper.make_node("Softmax", ["centred"], ["probabilities"], axis=1),
        helper.make_node("ReduceL2", ["positive", "last"], ["length"], keepdims=1),
        helper.make_node("Clip", ["length", "least"], ["divisor"]),
        helper.make_node("Div", ["positive", "divisor"], ["embedding"]),
    ]
    outputs = {"logits": 2, "probabilities": 2, "embedding": 3}
    constants = {
        "sides": np.array([1, 2]),
        "last": np.array([1]),
        "least": np.array(1e-6, np.float32),
        "weights": np.array([[0.01, 0], [0, 0.01], [0.01, 0.01]], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 4, 4, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in outputs.items()],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: "{}"})
    onnx.save(model, path)
    return path


def test_embedding_keeps_its_precision_and_its_constants(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.onnx")
    write_fp16(model, tmp_path / "model.fp16.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    single, half = (
        ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"pixels": pixels})
        for path in (model, tmp_path / "model.fp16.onnx")
    )
    for own, theirs in zip(half, single, strict=True):
        assert own.dtype == np.float32
        np.testing.assert_allclose(own, theirs, atol=5e-3)
    np.testing.assert_allclose(np.linalg.norm(half[2], axis=1), 1, atol=1e-6)


def test_runtime_that_crashes_or_hangs_leaves_the_model_out_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "model.onnx")
    survive(model, exact_sums=False)
    (tmp_path / "no-model.onnx").write_bytes(b"no model")
    survive(tmp_path / "no-model.onnx", exact_sums=True)  # whoever opens it next says what it is

    python = tmp_path / "python"
    monkeypatch.setattr("sys.executable", str(python))
    for script, said in (
        ("kill -SEGV $$", "crashes as it opens it .signal 11"),
        ("exec sleep 60", "within 0"),
    ):
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        with pytest.raises(GateRefused, match=said):
            survive(model, exact_sums=False)
        monkeypatch.setattr(trial, "LONGEST_S", 0.05)
