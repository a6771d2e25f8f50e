"""The exported model in float16."""

from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import TensorProto, helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from fovea.model.bundle import EMBEDDING, METADATA_KEY


def write_fp16(model: Path, target: Path) -> None:
    """Weights and arithmetic in float16; pixels stay uint8, the outputs float32.

    So does the length of pooled features, which float16 may not hold.
    """
    whole = onnx.load(model)
    end = _cut_off(whole)
    half = convert_float_to_float16(whole, keep_io_types=True, disable_shape_infer=False)
    _put_back(half, end)
    finish(half, model, target)


class _End(NamedTuple):
    """What makes the embedding of the pooled features."""

    pooled: str
    nodes: list[onnx.NodeProto]
    constants: list[onnx.TensorProto]
    output: onnx.ValueInfoProto


def _cut_off(model: onnx.ModelProto) -> _End:
    """Takes out what logits and probabilities do without."""
    graph = model.graph
    (output,) = (each for each in graph.output if each.name == EMBEDDING)
    graph.output.remove(output)
    needed = _needed(graph)
    nodes = [deepcopy(node) for node in graph.node if not needed.intersection(node.output)]
    made = {name for node in nodes for name in node.output}
    read = {name for node in nodes for name in node.input}
    constants = [deepcopy(tensor) for tensor in graph.initializer if tensor.name in read]
    (pooled,) = read - made - {tensor.name for tensor in constants}
    for node in nodes:
        graph.node.remove(node)
    for tensor in constants:
        if tensor.name not in needed:
            graph.initializer.remove(tensor)
    return _End(pooled, nodes, constants, output)


def _needed(graph: onnx.GraphProto) -> set[str]:
    """Everything that leads to an output."""
    makers = {output: node for node in graph.node for output in node.output}
    waiting, needed = [output.name for output in graph.output], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in needed and name in makers:
            waiting += makers[name].input
        needed.add(name)
    return needed


def _put_back(half: onnx.ModelProto, end: _End) -> None:
    graph, single = half.graph, f"{end.pooled}_in_float32"
    graph.node.append(helper.make_node("Cast", [end.pooled], [single], name=single, to=TensorProto.FLOAT))
    # Other nodes may read the same constants.
    own = {tensor.name: f"{tensor.name}_of_{EMBEDDING}" for tensor in end.constants}
    for tensor in end.constants:
        tensor.name = own[tensor.name]
    for node in end.nodes:
        node.input[:] = [single if name == end.pooled else own.get(name, name) for name in node.input]
    graph.node.extend(end.nodes)
    graph.initializer.extend(end.constants)
    graph.output.append(end.output)
    del graph.value_info[:]  # the converter's notes of types, which are not right for what it did not see


def finish(variant: onnx.ModelProto, model: Path, target: Path) -> None:
    """The contract inside is the original's; what the converter notes of itself goes."""
    original = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    variant.producer_name, variant.producer_version, variant.doc_string = "fovea", "", ""
    variant.graph.name = "classifier"
    del variant.metadata_props[:]
    onnx.helper.set_model_props(variant, {METADATA_KEY: original[METADATA_KEY]})
    onnx.checker.check_model(variant, full_check=True)
    onnx.save(variant, target)
