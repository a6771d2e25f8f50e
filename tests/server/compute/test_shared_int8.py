"""What the first compute process writes for all, of a model of eight bits."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic

from fovea.model import saturation
from server.compute.process import _share
from tests import tiny
from tests.fovea.model.test_shared_weights import write_network
from tests.server.compute.test_process_worker import settings


@pytest.mark.parametrize(("here", "kind"), [(True, TensorProto.UINT8), (False, TensorProto.INT8)])
def test_weights_are_shared_as_this_processor_sums_them_exactly(
    here: bool, kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saturation, "saturates", lambda: here)
    bundle = tiny.stage_bundle(tmp_path / "bundle", variants={"int8-full": 8.0})
    network = write_network(tmp_path / "fp32.onnx")
    quantize_dynamic(network, bundle.file_of("int8-full"), weight_type=QuantType.QInt8)
    shared = _share(bundle, "int8-full", replace(settings(bundle.path), shared_weights=str(tmp_path)))
    assert shared == tmp_path / "int8-full" / "model.onnx"
    tensors = onnx.load(shared, load_external_data=False).graph.initializer
    (first,) = [tensor for tensor in tensors if tensor.name.startswith("first") and len(tensor.dims) == 2]
    assert first.data_type == kind
