#!/usr/bin/env bash
# package: onnxruntime 1.32.0, CPU provider, x86-64 with AVX2
# behaviour: with session.x64quantprecision a valid model whose two quantized layers share a zero point cannot be opened:
#  the weights of both become unsigned, and their zero point with them, twice under one name.
# output:
#   a zero point each: opens; with the option: opens
#   one zero point: opens; with the option: Attempt to replace the existing tensor
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > layers.py <<'PYTHON'
import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def network(first: str, second: str) -> bytes:
    constants = {
        "a": numpy.full((8, 8), 100, numpy.int8),
        "b": numpy.full((8, 8), -100, numpy.int8),
        "one": numpy.array(1, numpy.float32),
        "scale": numpy.array(1000, numpy.float32),
        "zero": numpy.array(0, numpy.uint8),
        first: numpy.array(0, numpy.int8),
        second: numpy.array(0, numpy.int8),
    }
    nodes = [
        helper.make_node("QLinearMatMul", ["x", "one", "zero", "a", "one", first, "scale", "zero"], ["y"]),
        helper.make_node("QLinearMatMul", ["y", "one", "zero", "b", "one", second, "scale", "zero"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 8])],
        [helper.make_tensor_value_info("z", TensorProto.UINT8, ["n", 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def opened(model: bytes, chosen: str) -> str:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", chosen)
    try:
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return "Attempt" + str(error).strip().rpartition("Attempt")[2]
    return "opens"


for title, zeros in (("a zero point each", ("of_a", "of_b")), ("one zero point", ("of_both", "of_both"))):
    plain, exact = (opened(network(*zeros), chosen) for chosen in "01")
    print(f"{title}: {plain}; with the option: {exact}")
PYTHON

python3 -m venv venv
venv/bin/pip install -q onnxruntime==1.32.0 onnx==1.23.2 2>/dev/null
venv/bin/python layers.py | tee seen
if ! grep -qx "a zero point each: opens; with the option: opens" seen ||
  ! grep -qx "one zero point: opens; with the option: Attempt to replace the existing tensor" seen; then
  echo "the behaviour changed"
  exit 1
fi
