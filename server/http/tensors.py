"""An inference request in the protocol's JSON, with or without binary data behind it, for ModelInfer."""

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from fovea.oip import open_inference_pb2 as pb
from server.errors import FieldInvalid
from server.http.json_bodies import a_bool, a_list, a_text, a_whole_number, an_object, object_of
from server.oip.aliases import quoted
from server.oip.infer_request import Content, InferRequest
from server.oip.inputs import LENGTH
from server.oip.request_limits import MAX_REST_BYTES

BASE64: Final = "base64"
"""Value of an input's parameter `content_type`, by which MLServer's callers say that strings are base64."""

_MAX_RANK: Final = 32
_INT64: Final = 2**63
_UINT64: Final = 2**64

Parameters = Any
"""A map of a message."""


@dataclass(frozen=True)
class HttpInfer:
    """A request, and how its caller wants the answer."""

    request: InferRequest
    binary: Sequence[bool]
    """Of each output that the request names: whether its data is to come binary."""
    binary_by_default: bool
    """Of the outputs, where the request names none."""

    def wants_binary(self, number: int) -> bool:
        return self.binary[number] if self.binary else self.binary_by_default


def infer_of(body: bytes, json_bytes: int | None, model: str, version: str, request_id: str) -> HttpInfer:
    """`json_bytes` are JSON, what follows is binary data; None where all is JSON.

    `request_id` is for requests without an id. Raises FieldInvalid, BodyTooLarge.
    """
    data = memoryview(body)
    document = object_of(data[:json_bytes])
    message = pb.ModelInferRequest(model_name=model, model_version=version)
    message.id = a_text(document.get("id", request_id), "id")
    parameters = an_object(document.get("parameters", {}), "parameters")
    by_default = a_bool(parameters.pop("binary_data_output", False), "parameters.binary_data_output")
    put_parameters(parameters, "parameters", message.parameters)
    binary = [
        _add_output(output, f"outputs[{number}]", by_default, message)
        for number, output in enumerate(a_list(document.get("outputs", []), "outputs"))
    ]
    rest = _Binary(data[len(data) if json_bytes is None else json_bytes :])
    contents = [
        _add_input(tensor, f"inputs[{number}]", rest, message)
        for number, tensor in enumerate(a_list(document.get("inputs", []), "inputs"))
    ]
    rest.check_that_all_is_taken()
    _check_rest(message)
    return HttpInfer(InferRequest(message, contents), binary, by_default)


def put_parameters(given: dict[str, Any], field: str, parameters: Parameters) -> None:
    """Into a map of InferParameter, or of ModelRepositoryParameter. Raises FieldInvalid."""
    for name, value in given.items():
        where = f"{field}.{quoted(name)[1:-1]}"
        parameter = parameters[a_text(name, where)]
        if isinstance(value, bool):
            parameter.bool_param = value
        elif isinstance(value, int):
            _put_whole_number(value, where, parameter)
        elif isinstance(value, float) and "double_param" in parameter.DESCRIPTOR.fields_by_name:
            parameter.double_param = value
        elif isinstance(value, str):
            parameter.string_param = a_text(value, where)
        else:
            raise FieldInvalid(where, f"{where} must be text, a number, true or false")


def _put_whole_number(value: int, field: str, parameter: Any) -> None:
    if _INT64 <= value < _UINT64 and "uint64_param" in parameter.DESCRIPTOR.fields_by_name:
        parameter.uint64_param = value
    else:
        parameter.int64_param = a_whole_number(value, field, _INT64)


def _add_output(given: object, field: str, by_default: bool, message: pb.ModelInferRequest) -> bool:
    """Whether it is to come binary."""
    output = an_object(given, field)
    parameters = an_object(output.get("parameters", {}), f"{field}.parameters")
    is_binary = a_bool(parameters.pop("binary_data", by_default), f"{field}.parameters.binary_data")
    added = message.outputs.add(name=a_text(output.get("name"), f"{field}.name"))
    put_parameters(parameters, f"{field}.parameters", added.parameters)
    return is_binary


def _add_input(given: object, field: str, rest: "_Binary", message: pb.ModelInferRequest) -> Content:
    """Its data, as raw_input_contents has it."""
    tensor = an_object(given, field)
    parameters = an_object(tensor.get("parameters", {}), f"{field}.parameters")
    binary_bytes = parameters.pop("binary_data_size", None)
    added = message.inputs.add(
        name=a_text(tensor.get("name"), f"{field}.name"),
        datatype=a_text(tensor.get("datatype"), f"{field}.datatype"),
        shape=_shape_of(tensor.get("shape"), f"{field}.shape"),
    )
    put_parameters(parameters, f"{field}.parameters", added.parameters)
    if binary_bytes is not None:
        if "data" in tensor:
            raise FieldInvalid(f"{field}.data", f"{field} has data, and binary_data_size too")
        return rest.take(binary_bytes, f"{field}.parameters.binary_data_size")
    if any(name.startswith("shared_memory_") for name in added.parameters):
        return b""  # which is refused
    if "data" not in tensor:
        raise FieldInvalid(f"{field}.data", f"{field} has neither data nor the parameter binary_data_size")
    return _data_of(tensor, added, f"{field}.data")


def _shape_of(given: object, field: str) -> list[int]:
    return [
        a_whole_number(size, f"{field}[{number}]", _INT64) for number, size in enumerate(a_list(given, field))
    ]


class _Binary:
    """The bytes behind the JSON, which the inputs take in their order."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def take(self, size: object, field: str) -> memoryview:
        """Raises FieldInvalid."""
        count = a_whole_number(size, field, _INT64)
        if not 0 <= count <= len(self._data):
            raise FieldInvalid(field, f"{field} is {count}, and {len(self._data)} bytes are there")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def check_that_all_is_taken(self) -> None:
        """Raises FieldInvalid."""
        if self._data:
            what = f"there are {len(self._data)} bytes behind the JSON that no input's binary_data_size tells"
            raise FieldInvalid("body", what)


def _data_of(tensor: dict[str, Any], added: pb.ModelInferRequest.InferInputTensor, field: str) -> bytes:
    """Of a tensor without binary data; of a datatype that no model here takes, nothing."""
    elements = _flat(a_list(tensor.get("data"), field), field)
    if added.datatype not in ("UINT8", "BYTES"):
        return b""
    _check_count(len(elements), added.shape, field)
    if added.datatype == "UINT8":
        return _of_numbers(elements, field)
    is_base64 = any(
        name == "content_type" and each.string_param == BASE64 for name, each in added.parameters.items()
    )
    return _of_texts(elements, field, is_base64)


def _flat(data: list[Any], field: str) -> list[Any]:
    """The elements of lists in lists, which may be flat already."""
    while data and (kinds := set(map(type, data))) >= {list}:
        if len(kinds) > 1 or len(set(map(len, data))) > 1:
            raise FieldInvalid(field, f"{field} has lists of several lengths, or beside other values")
        data = list(chain.from_iterable(data))
    return data


def _check_count(count: int, shape: Sequence[int], field: str) -> None:
    """Sizes that are negative, or too many, are the service's to refuse."""
    if len(shape) <= _MAX_RANK and min(shape, default=0) >= 0 and count != (expected := math.prod(shape)):
        raise FieldInvalid(field, f"{field} must have {expected} values, by the shape; it has {count}")


def _of_numbers(elements: list[Any], field: str) -> bytes:
    if elements and set(map(type, elements)) != {int}:
        number = next(number for number, each in enumerate(elements) if type(each) is not int)
        a_whole_number(elements[number], f"{field}[{number}]", _INT64)
    try:
        return bytes(elements)
    except ValueError:
        wrong = next(each for each in elements if not 0 <= each < 256)
        raise FieldInvalid(field, f"UINT8 is from 0 to 255, and {quoted(str(wrong))[1:-1]} is not") from None


def _of_texts(elements: list[Any], field: str, is_base64: bool) -> bytes:
    contents: list[bytes] = []
    for number, element in enumerate(elements):
        text = a_text(element, f"{field}[{number}]")
        content = _of_base64(text, f"{field}[{number}]") if is_base64 else text.encode()
        contents += LENGTH.pack(len(content)), content
    return b"".join(contents)


def _of_base64(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FieldInvalid(field, f"{field} is not base64") from None


def _check_rest(message: pb.ModelInferRequest) -> None:
    """As of a message that comes over gRPC. Raises FieldInvalid."""
    if message.ByteSize() > MAX_REST_BYTES:
        raise FieldInvalid(
            "body", f"a request may have {MAX_REST_BYTES} bytes apart from its tensors' data; it has more"
        )
