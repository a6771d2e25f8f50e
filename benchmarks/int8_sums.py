"""Where the sums of int8 products saturate: what onnxruntime's kernels make of the largest ones there are.

    python -m benchmarks.int8_sums
    qemu-x86_64 -cpu Haswell .venv/bin/python -m benchmarks.int8_sums

The second line has an emulator be a processor of the years before VNNI.
"""

from typing import Final

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from fovea.cpus import processor_name

KINDS: Final = {"U8S8": (np.uint8, np.int8), "U8U8": (np.uint8, np.uint8), "S8S8": (np.int8, np.int8)}
"""Of activations and weights."""
LAYERS: Final = {"Conv of 3 channels": 3, "Conv of 64 channels": 64, "MatMul": 64}
LARGEST: Final = {7: 64, 8: 127}
"""Weight of that many bits."""


def main() -> None:
    """Prints the share of the right sum that each gives."""
    print(f"{processor_name()}; onnxruntime {onnxruntime.__version__}\n")
    print("| layer | activations and weights | 7 bits | 8 bits | 8 bits, exact |\n|---|---|---:|---:|---:|")
    for layer in LAYERS:
        for kind in KINDS:
            shares = [share(layer, kind, bits, exact) for bits, exact in ((7, False), (8, False), (8, True))]
            print(f"| {layer} | {kind} | {' | '.join(f'{share:.2f}' for share in shares)} |")


def share(layer: str, kind: str, bits: int, exact: bool) -> float:
    """What a layer of the brightest pixels and the largest weights gives, of what is right."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", str(int(exact)))
    model = network(layer, kind, bits).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    brightest = np.iinfo(KINDS[kind][0]).max
    shape = [1, LAYERS[layer], *([3, 3] if layer != "MatMul" else [])]
    (answer,) = session.run(None, {"pixels": np.full(shape, brightest, np.float32)})
    return float(answer.min())


def network(layer: str, kind: str, bits: int) -> ModelProto:
    """Its one layer is quantized; the answer is a share of the right one."""
    channels, (of_pixels, of_weights) = LAYERS[layer], KINDS[kind]
    is_matrix, zero = layer == "MatMul", 0 if of_weights == np.int8 else 128
    weights = np.full((channels, 16) if is_matrix else (16, channels, 3, 3), zero + LARGEST[bits])
    right = np.iinfo(of_pixels).max * LARGEST[bits] * channels * (1 if is_matrix else 9)
    scales = {"one": 1.0, "sum_scale": right / 100, "share_scale": 0.01}
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in scales.items()]
    constants += [
        numpy_helper.from_array(weights.astype(of_weights), "weights"),
        numpy_helper.from_array(np.array(zero, of_weights), "weights_zero"),
        numpy_helper.from_array(np.array(0, of_pixels), "zero"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["pixels", "one", "zero"], ["quantized"]),
        helper.make_node("DequantizeLinear", ["quantized", "one", "zero"], ["numbers"]),
        helper.make_node("DequantizeLinear", ["weights", "one", "weights_zero"], ["factors"]),
        helper.make_node("MatMul" if is_matrix else "Conv", ["numbers", "factors"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "sum_scale", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "share_scale", "zero"], ["share"]),
    ]
    side = [] if is_matrix else [3, 3]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", channels, *side])
    output = helper.make_tensor_value_info("share", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "layer", [pixels], [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


if __name__ == "__main__":
    main()
