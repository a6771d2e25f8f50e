"""Calls of the Open Inference Protocol, and what their answers say."""

import struct
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from fovea.images.preprocess import Pixels, decode_image
from fovea.oip import open_inference_pb2 as pb
from fovea.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests import tiny
from tests.rpc import call_of

PATIENCE_S = 30
IMAGES = [tiny.picture(label, (40 + number, 30)) for number, label in enumerate(tiny.LABELS)]
"""One of each label."""


def crops_of(images: Sequence[bytes]) -> Pixels:
    """uint8 [n, S, S, 3]"""
    return np.stack([decode_image(image, tiny.SPEC) for image in images])


def raw_bytes(elements: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def of_images(images: Sequence[bytes] = IMAGES, **fields: Any) -> pb.ModelInferRequest:
    """With raw contents."""
    tensor = _tensor("image", "BYTES", [len(images), 1])
    return _request("tiny", tensor, raw_input_contents=[raw_bytes(images)], **fields)


def of_typed_images(images: Sequence[bytes] = IMAGES, **fields: Any) -> pb.ModelInferRequest:
    tensor = _tensor("image", "BYTES", [len(images), 1])
    tensor.contents.bytes_contents.extend(images)
    return _request("tiny", tensor, **fields)


def of_pixels(pixels: Pixels, **fields: Any) -> pb.ModelInferRequest:
    """With raw contents."""
    tensor = _tensor("pixels", "UINT8", pixels.shape)
    return _request("tiny_onnx", tensor, raw_input_contents=[pixels.tobytes()], **fields)


def of_typed_pixels(pixels: Pixels, **fields: Any) -> pb.ModelInferRequest:
    tensor = _tensor("pixels", "UINT8", pixels.shape)
    tensor.contents.uint_contents.extend(pixels.ravel().tolist())
    return _request("tiny_onnx", tensor, **fields)


def wanting(request: pb.ModelInferRequest, *outputs: str, classification: int = 0) -> pb.ModelInferRequest:
    for name in outputs:
        output = request.outputs.add(name=name)
        if classification:
            output.parameters["classification"].int64_param = classification
    return request


def with_parameter(request: pb.ModelInferRequest, name: str, **value: Any) -> pb.ModelInferRequest:
    """`value` is for example `int64_param=1`."""
    request.parameters[name].MergeFrom(pb.InferParameter(**value))
    return request


def numbers(response: pb.ModelInferResponse, name: str) -> npt.NDArray[np.float32]:
    output, raw = _output(response, name)
    assert output.datatype == "FP32"
    return np.frombuffer(raw, np.float32).reshape(tuple(output.shape))


def texts(response: pb.ModelInferResponse, name: str) -> list[list[str]]:
    output, raw = _output(response, name)
    assert output.datatype == "BYTES"
    rows, columns = output.shape
    elements: list[str] = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        elements.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    assert len(elements) == rows * columns
    return [elements[row * columns : (row + 1) * columns] for row in range(rows)]


def refusal(inference: GRPCInferenceServiceStub, request: pb.ModelInferRequest) -> grpc.Call:
    with pytest.raises(grpc.RpcError) as raised:
        inference.ModelInfer(request, timeout=PATIENCE_S)
    return call_of(raised.value)


def bad_field(call: grpc.Call) -> str:
    """The field that the BadRequest in the status' details names."""
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    detail = BadRequest()
    assert rpc_status.from_call(call).details[0].Unpack(detail)
    (violation,) = detail.field_violations
    assert violation.description == call.details()
    return str(violation.field)


def _tensor(name: str, datatype: str, shape: Sequence[int]) -> pb.ModelInferRequest.InferInputTensor:
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)


def _request(name: str, tensor: pb.ModelInferRequest.InferInputTensor, **fields: Any) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(**{"model_name": name, "inputs": [tensor], **fields})


def _output(
    response: pb.ModelInferResponse, name: str
) -> tuple[pb.ModelInferResponse.InferOutputTensor, bytes]:
    assert len(response.outputs) == len(response.raw_output_contents)
    ((output, raw),) = (
        (output, raw)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        if output.name == name
    )
    assert not output.HasField("contents")
    return output, raw
