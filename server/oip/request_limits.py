"""Bytes that are refused before they are parsed, which may take many times their size.

Only the tensors' data may be large.
"""

from typing import Final

from fovea.oip import open_inference_pb2 as pb
from server.calls.answering import RequestLimit
from server.calls.message_fields import fields
from server.errors import FieldInvalid

MAX_REST_BYTES: Final = 64 * 1024
"""Of a request, apart from its tensors' data: names, shapes, parameters, the lengths of images."""
MAX_NUMBERS_BYTES: Final = 32 * 1024 * 1024
"""Of typed numbers: each of one byte may take eight in memory. 64 crops of 224 x 224 have 19 MB at most."""

_INPUTS: Final = pb.ModelInferRequest.DESCRIPTOR.fields_by_name["inputs"].number
_RAW: Final = pb.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_CONTENTS: Final = pb.ModelInferRequest.InferInputTensor.DESCRIPTOR.fields_by_name["contents"].number
_BYTES: Final = pb.InferTensorContents.DESCRIPTOR.fields_by_name["bytes_contents"].number


def inference_limits() -> dict[str, RequestLimit]:
    """By method, each of which has one."""
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    return {**dict.fromkeys(methods, check_small), "ModelInfer": check_infer}


def check_infer(data: bytes) -> None:
    """Raises FieldInvalid for what is too much to be parsed, DecodeError for what cannot be."""
    _RequestWalk(data).check()


def check_small(data: bytes) -> None:
    """Of a request that carries no tensors. Raises FieldInvalid."""
    if len(data) > MAX_REST_BYTES:
        raise FieldInvalid("request", f"the request has {len(data)} bytes, more than {MAX_REST_BYTES}")


class _RequestWalk:
    """A walk over a ModelInferRequest that steps over the tensors' data; takes some microseconds."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._rest = 0
        self._numbers = 0

    def check(self) -> None:
        for number, tag, start, end in fields(self._data, 0, len(self._data)):
            self._count(start - tag)
            if number == _INPUTS:
                self._check_input(start, end)
            elif number != _RAW:
                self._count(end - start)

    def _check_input(self, start: int, end: int) -> None:
        for number, tag, inner, outer in fields(self._data, start, end):
            self._count(inner - tag)
            if number == _CONTENTS:
                self._check_contents(inner, outer)
            else:
                self._count(outer - inner)

    def _check_contents(self, start: int, end: int) -> None:
        for number, tag, inner, outer in fields(self._data, start, end):
            self._count(inner - tag)
            if number != _BYTES:
                self._numbers += outer - inner
        if self._numbers > MAX_NUMBERS_BYTES:
            what = f"typed numbers may have {MAX_NUMBERS_BYTES} bytes in a request; send raw_input_contents"
            raise FieldInvalid("request", what)

    def _count(self, size: int) -> None:
        self._rest += size
        if self._rest > MAX_REST_BYTES:
            limit = f"a request may have {MAX_REST_BYTES} bytes apart from its tensors' data"
            raise FieldInvalid("request", f"{limit}: names, shapes, parameters, and a few for each image")
