#!/usr/bin/env bash
# package: onnxruntime 1.32.0 (onnxruntime.transformers.float16), onnx 1.23.2
# behaviour: convert_float_to_float16 appends its casts at the end of the graph, so that nodes stand before what
#  they read wherever a node is left in float32 (node_block_list) or float32 inputs are kept (keep_io_types).
#  onnx.checker refuses such a graph, onnxruntime runs it; sorted by onnxruntime's OnnxModel, it is accepted.
# output:
#   all of it in float16: accepted
#   one node in float32: refused, accepted once it is sorted, run
#   float32 inputs and outputs: refused, accepted once it is sorted, run
# date: 2026-11-30
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > convert.py <<'PYTHON'
import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel


def made() -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["pooled"], name="first"),
            helper.make_node("ReduceL2", ["pooled"], ["y"], name="length", keepdims=1),
        ],
        "lengths",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(numpy.ones((4, 4), numpy.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def checked(model: onnx.ModelProto) -> str:
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        return "refused" if "must be topologically sorted" in str(error) else str(error)
    return "accepted"


def tried(**options: object) -> str:
    half = convert_float_to_float16(made(), **options)
    said = checked(half)
    if said == "accepted":
        return said
    session = onnxruntime.InferenceSession(half.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    dtype = numpy.float32 if given.type == "tensor(float)" else numpy.float16
    (answer,) = session.run(None, {"x": numpy.ones((1, 4), dtype)})
    OnnxModel(half).topological_sort()
    return f"{said}, {checked(half)} once it is sorted, {'run' if answer[0, 0] == 8 else answer}"


print("all of it in float16:", tried())
print("one node in float32:", tried(node_block_list=["length"]))
print("float32 inputs and outputs:", tried(keep_io_types=True))
PYTHON

python3 -m venv venv
venv/bin/pip install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
venv/bin/python convert.py | tee seen
cat > expected <<'TEXT'
all of it in float16: accepted
one node in float32: refused, accepted once it is sorted, run
float32 inputs and outputs: refused, accepted once it is sorted, run
TEXT
diff -q seen expected > /dev/null || { echo "the behaviour changed"; exit 1; }
