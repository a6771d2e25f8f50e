#!/usr/bin/env bash
# package: onnxruntime 1.28.0, 1.29.0 and 1.30.0, CPU provider, x86-64
# behaviour: 1.29.0 adds up the products of an fp16 Gemm in fp16; 1.28.0 and 1.30.0 cast the node to fp32 and back.
# output:
#   1.28.0: mean error is 1.0 times that of rounding to fp16
#   1.29.0: mean error is 17.1 times that of rounding to fp16
#   1.30.0: mean error is 1.0 times that of rounding to fp16
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > gemm.py <<'PYTHON'
import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

chance = numpy.random.default_rng(0)
images, weights = (chance.standard_normal(shape).astype(numpy.float16) for shape in ((64, 512), (37, 512)))
graph = helper.make_graph(
    [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
    "last",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [None, 512])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [None, 37])],
    [numpy_helper.from_array(weights, "w")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.checker.check_model(model)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(answer,) = session.run(None, {"x": images})
exact = images.astype(numpy.float64) @ weights.T.astype(numpy.float64)
rounding = abs(exact.astype(numpy.float16) - exact).mean()
print(f"{abs(answer - exact).mean() / rounding:.1f}")
PYTHON

python3 -m venv venv
declare -A times
for version in 1.28.0 1.29.0 1.30.0; do
    venv/bin/pip install -q "onnxruntime==$version" onnx==1.20.1 numpy==2.4.1 2>/dev/null
    times[$version]=$(venv/bin/python gemm.py)
    echo "$version: mean error is ${times[$version]} times that of rounding to fp16"
done
awk -v before="${times[1.28.0]}" -v seen="${times[1.29.0]}" -v after="${times[1.30.0]}" \
    'BEGIN { exit !(before < 1.5 && seen > 5 && after < 1.5) }' || { echo "the behaviour changed"; exit 1; }
