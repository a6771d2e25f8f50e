"""Exports of equal networks, made once, for tests of trainings that do not look at the export.

The exporter takes seconds for each network. Its result is kept by all that goes in, weights to the bit
included: a training that ends otherwise is exported anew.
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

import onnx
import pytest
import torch
from torch import nn
from torch.onnx._internal import _lazy_import


@contextmanager
def made_once(folder: Path) -> Iterator[None]:
    """Within, `torch.onnx.export` looks into the folder first."""
    export = torch.onnx.export

    def remembered(
        network: nn.Module, arguments: tuple[torch.Tensor, ...], **options: Any
    ) -> SimpleNamespace:
        file = folder / f"{_digest(network, arguments, options)}.onnx"
        if not file.exists():
            program = export(network, arguments, **options)
            assert program is not None
            partial = folder / f"{file.name}.{os.getpid()}"
            partial.write_bytes(program.model_proto.SerializeToString())
            partial.replace(file)
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


def _digest(network: nn.Module, arguments: tuple[torch.Tensor, ...], options: dict[str, Any]) -> str:
    digest = hashlib.sha256(repr((network, getattr(network, "temperature", None), options)).encode())
    for name, tensor in chain(network.state_dict().items(), network.named_buffers(), enumerate(arguments)):
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
