"""From a torch network to an ONNX file that stands alone and says what it is."""

import io
import logging
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from torch import Tensor, nn

from fovea.errors import GateRefused
from fovea.model.bundle import METADATA_KEY, BundleContract, TensorSpec
from trainer.network.model import Network

OPSET = 20
OUTPUTS: Final = ("logits", "probabilities", "embedding")


class ServedNetwork(nn.Module):
    """pixels uint8 [n, S, S, 3] -> logits, probabilities float32 [n, classes], embedding float32 [n, D]; the
    temperature is inside."""

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, embedding = self.network.answer(pixels)
        return logits, torch.softmax(logits / self.temperature, dim=1), embedding


class ServedLabels(nn.Module):
    """The same of a multi-label network: each label has a temperature and a probability of its own."""

    temperatures: Tensor

    def __init__(self, network: Network, temperatures: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("temperatures", torch.tensor(temperatures, dtype=torch.float32))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, embedding = self.network.answer(pixels)
        return logits, torch.sigmoid(logits / self.temperatures), embedding


Served = ServedNetwork | ServedLabels


def describe_tensors(
    size: int, classes: int, values: int
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The inputs and outputs that every exported model has; `values` are those of an embedding."""
    pixels = TensorSpec(name="pixels", dtype="uint8", shape=("batch", size, size, 3))
    outputs = [
        TensorSpec(name=name, dtype="float32", shape=("batch", count))
        for name, count in zip(OUTPUTS, (classes, classes, values), strict=True)
    ]
    return (pixels,), tuple(outputs)


def export_onnx(served: Served, contract: BundleContract, target: Path) -> None:
    """Writes the model with the contract in its metadata, and checks it.

    Equal weights and contracts give equal files: what the exporter notes of itself is left out.
    Raises GateRefused when the graph is not the one that was meant.
    """
    model = _export(served, contract.preprocess.size)
    _strip(model)
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.embedded()})
    _check(model)
    onnx.save(model, target)


def _export(served: Served, size: int) -> onnx.ModelProto:
    # Two images at least: a batch of one would be taken for a constant.
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    for noisy in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()):
        program = torch.onnx.export(
            served.eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: "batch"},),
            input_names=["pixels"],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise GateRefused("export: torch gave no ONNX program")
    return program.model_proto


def _strip(model: onnx.ModelProto) -> None:
    """Takes out source paths, stack traces and other notes of the exporter."""
    model.producer_name, model.producer_version, model.doc_string = "fovea", "", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name, graph.doc_string = "classifier", ""
    del graph.metadata_props[:]
    parts: list[Any] = [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]


def _check(model: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateRefused(f"export: the graph is not valid ONNX: {str(error).splitlines()[0]}") from error
    opset = {entry.domain: entry.version for entry in model.opset_import}
    if opset != {"": OPSET}:
        raise GateRefused(f"export: the graph uses the opsets {opset}, not ONNX {OPSET} alone")
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    if batch != "batch":
        raise GateRefused("export: the batch dimension is not dynamic")
    if _has_unfolded_norm(model):
        raise GateRefused("export: a batch norm was not folded into its convolution")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise GateRefused("export: weights lie outside the file")


def _has_unfolded_norm(model: onnx.ModelProto) -> bool:
    """A convolution that others read too, past its norm, cannot take that in (MaxViT's, whose norms come
    first in a block)."""
    readers = Counter(name for node in model.graph.node for name in node.input)
    convolved = {output for node in model.graph.node if node.op_type == "Conv" for output in node.output}
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    return any(norm.input[0] in convolved and readers[norm.input[0]] == 1 for norm in norms)
