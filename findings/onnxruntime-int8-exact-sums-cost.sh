#!/usr/bin/env bash
# package: onnxruntime 1.32.0, CPU provider, x86-64 with VNNI
# behaviour: session.x64quantprecision, described as what avoids the overflow of "x64 SSE4.1/AVX2/AVX512(with no VNNI)",
#  makes weights unsigned where there is VNNI too: not a bit of the answer changes, and the kernels of VNNI are lost.
# output:
#   weights become UINT8 where they were INT8, answers are equal; the option costs 2.6 times the CPU
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
if ! grep -q vnni /proc/cpuinfo; then
  echo "this processor has no VNNI, so there is nothing to see" >&2
  exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > sums.py <<'PYTHON'
import statistics
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

chance = numpy.random.default_rng(0)
weights = chance.integers(-127, 128, (128, 128, 3, 3)).astype(numpy.int8)
constants = {
    "weights": weights,
    "one": numpy.array(1, numpy.float32),
    "scale": numpy.array(20_000, numpy.float32),
    "zero": numpy.array(0, numpy.uint8),
    "middle": numpy.array(128, numpy.uint8),
    "weight_zero": numpy.array(0, numpy.int8),
}
inputs = ["x", "one", "zero", "weights", "one", "weight_zero", "scale", "middle"]
graph = helper.make_graph(
    [helper.make_node("QLinearConv", inputs, ["y"], pads=[1, 1, 1, 1])],
    "layer",
    [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 128, 28, 28])],
    [helper.make_tensor_value_info("y", TensorProto.UINT8, ["n", 128, 28, 28])],
    [numpy_helper.from_array(value, name) for name, value in constants.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
sessions = {}
for chosen in "01":
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = f"{chosen}.onnx"
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", chosen)
    sessions[chosen] = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
images = chance.integers(0, 256, (4, 128, 28, 28)).astype(numpy.uint8)
answers = {chosen: session.run(None, {"x": images})[0] for chosen, session in sessions.items()}
assert answers["0"].std() > 1
times = {chosen: [] for chosen in sessions}
for _ in range(21):
    for chosen, session in sessions.items():
        began = time.process_time()
        session.run(None, {"x": images})
        times[chosen].append(time.process_time() - began)
types = {
    chosen: {onnx.TensorProto.DataType.Name(each.data_type) for each in onnx.load(f"{chosen}.onnx").graph.initializer if len(each.dims) == 4}
    for chosen in sessions
}
ratio = statistics.median(times["1"]) / statistics.median(times["0"])
print("equal" if (answers["0"] == answers["1"]).all() else "different", *types["0"], *types["1"], f"{ratio:.1f}")
PYTHON

python3 -m venv venv
venv/bin/pip install -q onnxruntime==1.32.0 onnx==1.23.2 2>/dev/null
read -r answers before after ratio < <(venv/bin/python sums.py)
echo "weights become $after where they were $before, answers are $answers; the option costs $ratio times the CPU"
if [ "$answers $before $after" != "equal INT8 UINT8" ] || [ "${ratio/./}" -lt 15 ]; then
  echo "the behaviour changed"
  exit 1
fi
