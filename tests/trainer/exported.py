"""Exports made once, for tests of trainings that do not look at the export.

The exporter takes seconds for each network. Its result is kept by all that goes in, weights to the bit
included. Where each weight is in the file as it is in the network, the file serves for other weights too:
they are put into it, and the gate compares it with torch all the same.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from matplotlib.figure import Figure
from torch.onnx._internal import _lazy_import


@contextmanager
def made_once(folder: Path) -> Iterator[None]:
    """Within, `torch.onnx.export` looks into the folder first."""
    export = torch.onnx.export

    def remembered(network: Any, arguments: tuple[torch.Tensor, ...], **options: Any) -> SimpleNamespace:
        with_any_weights, file = (folder / f"{name}.onnx" for name in _names(network, arguments, options))
        if with_any_weights.exists():
            return SimpleNamespace(model_proto=_filled(onnx.load(with_any_weights), network))
        if not file.exists():
            program = export(network, arguments, **options)
            assert program is not None
            _keep(program.model_proto, file)
            if _holds_all_as_they_are(program.model_proto, network):
                _keep(program.model_proto, with_any_weights)
        return SimpleNamespace(model_proto=onnx.load(file))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", remembered)
        yield


@contextmanager
def operators_read_once() -> Iterator[None]:
    """Within, the exporter reads what onnxscript knows of torch's operators once: it does so for each export,
    from five hundred functions' sources."""
    with pytest.MonkeyPatch.context() as patch:
        apis: Any = vars(_lazy_import)["onnxscript_apis"]
        patch.setattr(apis, "get_torchlib_ops", cache(apis.get_torchlib_ops))
        yield


@contextmanager
def charts_left_out() -> Iterator[None]:
    """Within, the charts of reports are empty: they take longer than all the rest of a report."""
    save = Figure.savefig

    def left_out(figure: Figure, target: Any, **options: Any) -> None:
        if options.get("format") == "svg":
            target.write("<svg></svg>")
        else:
            save(figure, target, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", left_out)
        yield


def _keep(model: onnx.ModelProto, file: Path) -> None:
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.write_bytes(model.SerializeToString())
    partial.replace(file)


def _holds_all_as_they_are(model: onnx.ModelProto, network: Any) -> bool:
    """Not so where a norm was folded into its convolution, or where equal weights are kept once."""
    kept = {tensor.name: tensor.raw_data for tensor in model.graph.initializer}
    return all(kept.get(name) == weights for name, weights in _weights(model, network))


def _filled(model: onnx.ModelProto, network: Any) -> onnx.ModelProto:
    kept = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, weights in _weights(model, network):
        kept[name].raw_data = weights
    return model


def _weights(model: onnx.ModelProto, network: Any) -> Iterator[tuple[str, bytes]]:
    """The network's, by their names in the file, and the temperature, by which it divides before softmax."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            yield name, _bytes(tensor)
    if _temperature(network) != 1:
        made_by = {node.output[0]: node for node in model.graph.node}
        (softmax,) = (node for node in model.graph.node if node.output[0] == "probabilities")
        yield made_by[softmax.input[0]].input[1], np.float32(_temperature(network)).tobytes()


def _names(network: Any, arguments: tuple[torch.Tensor, ...], options: dict[str, Any]) -> Iterator[str]:
    """Of what is exported, but for its weights, and of all of it."""
    digest = hashlib.sha256(repr((network, _temperature(network) != 1, options)).encode())
    weights = network.state_dict()
    for name, tensor in [*weights.items(), *enumerate(arguments)]:
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
    for name, tensor in network.named_buffers():
        if name not in weights:  # such as the colours' mean, which no training changes
            digest.update(_bytes(tensor))
    yield digest.hexdigest()
    digest.update(repr(_temperature(network)).encode())
    for tensor in chain(weights.values(), arguments):
        digest.update(_bytes(tensor))
    yield digest.hexdigest()


def _temperature(network: Any) -> float:
    """That of a multi-label network is a tensor, among its weights."""
    return float(getattr(network, "temperature", 1.0))


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
