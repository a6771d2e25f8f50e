"""A ModelInferResponse in the protocol's JSON; outputs that are wanted so have their data behind it."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from fovea.oip import open_inference_pb2 as pb
from server.http.tensors import HttpInfer
from server.oip.inputs import LENGTH


def infer_answer(response: pb.ModelInferResponse, asked: HttpInfer) -> tuple[bytes, list[bytes]]:
    """The JSON, and the binary data of the outputs that are wanted so."""
    document: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        document["id"] = response.id
    document["parameters"] = {name: each.int64_param for name, each in sorted(response.parameters.items())}
    document["outputs"] = outputs = []
    binary: list[bytes] = []
    for number, (output, raw) in enumerate(zip(response.outputs, response.raw_output_contents, strict=True)):
        shown: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
        }
        if asked.wants_binary(number):
            shown["parameters"] = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            shown["data"] = _VALUES[output.datatype](raw)
        outputs.append(shown)
    return json.dumps(document).encode(), binary


def _numbers(raw: bytes) -> list[float]:
    return list(np.frombuffer(raw, "<f4").tolist())


def _flags(raw: bytes) -> list[bool]:
    return [bool(byte) for byte in raw]


def _texts(raw: bytes) -> Iterator[str]:
    at = 0
    while at < len(raw):
        (length,) = LENGTH.unpack_from(raw, at)
        at += LENGTH.size
        yield raw[at : at + length].decode()
        at += length


_VALUES: Final[dict[str, Callable[[bytes], list[Any]]]] = {
    "FP32": _numbers,
    "BOOL": _flags,
    "BYTES": lambda raw: [*_texts(raw)],
}
"""By datatype."""
