#!/usr/bin/env bash
# package: onnxruntime 1.32.0, CPU provider, x86-64
# behaviour: a run computes what only an output needs that is not fetched, with RunOptions.only_execute_path_to_fetches too.
# output:
#   fetched all: MatMul ReduceL2 Div Softmax
#   fetched one of two outputs: MatMul ReduceL2 Div Softmax
#   fetched one, only_execute_path_to_fetches: MatMul ReduceL2 Div Softmax
# date: 2026-11-30
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > fetches.py <<'PYTHON'
import json

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ORDER = ("MatMul", "ReduceL2", "Div", "Softmax")
weights = numpy.random.default_rng(0).standard_normal((64, 8)).astype(numpy.float32)
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("ReduceL2", ["x", "axes"], ["length"], keepdims=1),
        helper.make_node("Div", ["x", "length"], ["unit"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ],
    "two outputs",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 64])],
    [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 8]),
        helper.make_tensor_value_info("unit", TensorProto.FLOAT, [None, 64]),
    ],
    [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(numpy.array([1]), "axes")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model, full_check=True)


def computed(fetches, *, path_only):
    """The kinds of nodes that a run computed, by onnxruntime's own profile of it."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    how = onnxruntime.RunOptions()
    how.only_execute_path_to_fetches = path_only
    session.run(fetches, {"x": numpy.ones((2, 64), numpy.float32)}, how)
    with open(session.end_profiling()) as file:
        events = json.load(file)
    kinds = {event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")}
    return " ".join(kind for kind in ORDER if kind in kinds)


print("fetched all:", computed(None, path_only=False))
print("fetched one of two outputs:", computed(["probabilities"], path_only=False))
print("fetched one, only_execute_path_to_fetches:", computed(["probabilities"], path_only=True))
PYTHON

python3 -m venv venv
venv/bin/pip install -q onnxruntime==1.32.0 onnx==1.20.1 numpy==2.4.1
venv/bin/python fetches.py | tee seen
test "$(cut -d: -f2 seen | sort -u | wc -l)" = 1 && grep -q "MatMul ReduceL2 Div Softmax" seen ||
    { echo "the behaviour changed"; exit 1; }
