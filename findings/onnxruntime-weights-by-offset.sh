#!/usr/bin/env bash
# package: onnxruntime 1.32.0 and onnx 1.22.0, CPU provider
# behaviour: external data may name an ordinary .onnx file, with the places of the weights within it by offset and length,
#  however they are aligned: a graph of some hundred bytes then has the other file's weights, and gives equal answers. A file
#  that holds its weights is copied as it is parsed and again as the session is built; memory as the session is made, beyond
#  what the imports took, in parts of the weights' size:
# output:
#   weights in the file that is loaded: 2.02
#   the same file's weights, by offset: 1.27
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet onnxruntime==1.32.0 onnx==1.22.0 numpy==2.4.1

cat > make.py <<'PYTHON'
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

chance = numpy.random.default_rng(0)
weights = [chance.normal(0, 0.02, (1500, 1500)).astype(numpy.float32) for _ in range(8)]
nodes = [helper.make_node("MatMul", [f"h{n}", f"w{n}"], [f"h{n + 1}"]) for n in range(8)]
graph = helper.make_graph(
    nodes,
    "layers",
    [helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["n", 1500])],
    [helper.make_tensor_value_info("h8", TensorProto.FLOAT, ["n", 1500])],
    [numpy_helper.from_array(weight, f"w{n}") for n, weight in enumerate(weights)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.save(model, "whole.onnx")
whole = open("whole.onnx", "rb").read()
for tensor in model.graph.initializer:
    places = {"location": "whole.onnx", "offset": whole.find(tensor.raw_data), "length": len(tensor.raw_data)}
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in places.items():
        tensor.external_data.add(key=key, value=str(value))
open("graph.onnx", "wb").write(model.SerializeToString())
PYTHON

cat > load.py <<'PYTHON'
import os
import sys

import numpy
import onnxruntime


def highest_bytes():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


before = highest_bytes()
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
taken = highest_bytes() - before
(answer,) = session.run(None, {"h0": numpy.ones((2, 1500), numpy.float32)})
numpy.save(sys.argv[1] + ".npy", answer)
print(f"{taken / os.path.getsize('whole.onnx'):.2f}")
PYTHON

venv/bin/python make.py
within=$(venv/bin/python load.py whole.onnx)
offset=$(venv/bin/python load.py graph.onnx)
echo "weights in the file that is loaded: $within"
echo "the same file's weights, by offset: $offset"
venv/bin/python - "$within" "$offset" <<'PYTHON'
import sys

import numpy

within, offset = map(float, sys.argv[1:])
equal = numpy.array_equal(numpy.load("whole.onnx.npy"), numpy.load("graph.onnx.npy"))
if not equal or offset > 0.8 * within or within < 1.8:
    sys.exit("the behaviour changed")
PYTHON
