"""Bytes that are refused before they are parsed, since that would take many times their size.

Two bytes on the wire may become a message of a hundred: a call of the size that photographs may have could
take all the memory there is. So only the tensors' data may be large.
"""

from collections.abc import Iterator
from typing import Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError

from fovea.oip import open_inference_pb2 as pb
from server.errors import InvalidField

MAX_REST_BYTES: Final = 64 * 1024
"""Of a request, apart from its tensors' data: names, shapes, parameters, the lengths of images."""
MAX_NUMBERS_BYTES: Final = 32 * 1024 * 1024
"""Of typed numbers: each of one byte may take eight in memory. 64 crops of 224 x 224 have 19 MB at most."""

_INPUTS: Final = pb.ModelInferRequest.DESCRIPTOR.fields_by_name["inputs"].number
_RAW: Final = pb.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_CONTENTS: Final = pb.ModelInferRequest.InferInputTensor.DESCRIPTOR.fields_by_name["contents"].number
_BYTES: Final = pb.InferTensorContents.DESCRIPTOR.fields_by_name["bytes_contents"].number

_VARINT, _LENGTH = 0, 2
_FIXED: Final = {1: 8, 5: 4}
"""protobuf's wire types, the last two with the bytes that they have."""


def check(method: MethodDescriptor, data: bytes) -> None:
    """Raises InvalidField for what is too much to be parsed, DecodeError for what cannot be."""
    if method.name == "ModelInfer":
        _Screen(data).check()
    elif len(data) > MAX_REST_BYTES:
        raise InvalidField("request", f"the request has {len(data)} bytes, more than {MAX_REST_BYTES}")


class _Screen:
    """A walk over a ModelInferRequest that steps over the tensors' data; takes some microseconds."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._rest = 0
        self._numbers = 0

    def check(self) -> None:
        for number, start, end in self._fields(0, len(self._data)):
            if number == _INPUTS:
                self._check_input(start, end)
            elif number != _RAW:
                self._count(end - start)

    def _check_input(self, start: int, end: int) -> None:
        for number, inner, outer in self._fields(start, end):
            if number == _CONTENTS:
                self._check_contents(inner, outer)
            else:
                self._count(outer - inner)

    def _check_contents(self, start: int, end: int) -> None:
        for number, inner, outer in self._fields(start, end):
            if number != _BYTES:
                self._numbers += outer - inner
        if self._numbers > MAX_NUMBERS_BYTES:
            what = f"typed numbers may have {MAX_NUMBERS_BYTES} bytes in a request; send raw_input_contents"
            raise InvalidField("request", what)

    def _fields(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Number, start and end of each field."""
        while at < end:
            tag_at = at
            tag, at = self._varint(at, end)
            kind = tag & 7
            if kind == _LENGTH:
                size, at = self._varint(at, end)
            elif kind == _VARINT:
                size = self._varint(at, end)[1] - at
            elif kind in _FIXED:
                size = _FIXED[kind]
            else:  # a group: there are none in this protocol, and what is in one would not be seen here
                raise DecodeError
            if at + size > end:
                raise DecodeError
            self._count(at - tag_at)
            yield tag >> 3, at, at + size
            at += size

    def _count(self, size: int) -> None:
        self._rest += size
        if self._rest > MAX_REST_BYTES:
            limit = f"a request may have {MAX_REST_BYTES} bytes apart from its tensors' data"
            raise InvalidField("request", f"{limit}: names, shapes, parameters, and a few for each image")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        raise DecodeError
