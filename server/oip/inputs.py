"""The images of a request: that they are what the model takes, and where each begins and ends."""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fovea.model.bundle import BundleContract
from fovea.oip import open_inference_pb2 as pb
from server.errors import FieldInvalid
from server.oip.aliases import ModelAlias, aliases_of, quoted
from server.oip.infer_request import Content, InferRequest
from server.oip.parameters import refuse_shared_memory

Tensor = pb.ModelInferRequest.InferInputTensor

LENGTH: Final = struct.Struct("<I")
"""Stands before each element of raw BYTES."""
NUMBER_BYTES: Final = 4
"""What one of uint_contents takes in memory."""
_SHOWN_DIMS: Final = 6


@dataclass(frozen=True)
class Images:
    """The images of one request, checked but for what is inside them."""

    count: int
    size_bytes: int
    """What they take while they are in flight."""
    content: Callable[[int], Content]
    """An encoded image, or a crop's bytes, by its number. Raises FieldInvalid."""
    takes_time: bool = False
    """`content` is some milliseconds' work: the pixels are typed numbers."""


def images_of(request: InferRequest, alias: ModelAlias, contract: BundleContract, max_images: int) -> Images:
    """Raises FieldInvalid, which says what is expected."""
    tensor = _only_input(request.message, alias, contract)
    refuse_shared_memory(tensor.parameters, tensor.name)
    if tensor.datatype != alias.datatype:
        raise FieldInvalid("inputs", f"the datatype of {alias} must not be {quoted(tensor.datatype)}")
    count = _count_of(tensor, alias, max_images)
    if request.raw:
        return _raw(request.raw, tensor, alias, count)
    return _typed(tensor, alias, count)


def _only_input(request: pb.ModelInferRequest, alias: ModelAlias, contract: BundleContract) -> Tensor:
    for tensor in request.inputs:
        if tensor.name != alias.input:
            takes = f"'{alias.name}' takes {alias}"
            hints = [
                f"; '{other.input}' is the input of '{other.name}'"
                for other in aliases_of(contract)
                if other.input == tensor.name
            ]
            raise FieldInvalid("inputs", f"there is no input {quoted(tensor.name)}: {takes}{''.join(hints)}")
    if not request.inputs:
        raise FieldInvalid("inputs", f"the input is missing: '{alias.name}' takes {alias}")
    if len(request.inputs) > 1:
        raise FieldInvalid("inputs", f"'{alias.input}' is there {len(request.inputs)} times; once is right")
    return request.inputs[0]


def _count_of(tensor: Tensor, alias: ModelAlias, max_images: int) -> int:
    """The number of images that the shape tells; `image` may leave out the 1 behind it."""
    dims = tuple(tensor.shape[1:])
    if not tensor.shape or (dims != alias.dims and not (alias.dims == (1,) and not dims)):
        some = [*map(str, tensor.shape[:_SHOWN_DIMS]), *(["..."] if len(tensor.shape) > _SHOWN_DIMS else [])]
        raise FieldInvalid("inputs", f"the shape must be that of {alias}, not [{','.join(some)}]")
    count = tensor.shape[0]
    if not 1 <= count <= max_images:
        raise FieldInvalid("inputs", f"a call carries from 1 to {max_images} images, not {count}")
    return count


def _raw(contents: Sequence[Content], tensor: Tensor, alias: ModelAlias, count: int) -> Images:
    if tensor.HasField("contents"):
        raise FieldInvalid("inputs", "contents must not be there when raw_input_contents is")
    if len(contents) != 1:
        entries = f"1 entry, for the 1 input, not {len(contents)}"
        raise FieldInvalid("raw_input_contents", f"raw_input_contents must have {entries}")
    data = memoryview(contents[0])
    if not alias.takes_crops:
        encoded = list(_elements(data, count))
        return Images(count, len(data), encoded.__getitem__)
    each = math.prod(alias.dims)
    if len(data) != count * each:
        expected = f"{count} x {each} bytes, the pixels of {count} images"
        raise FieldInvalid("raw_input_contents", f"raw_input_contents must have {expected}, not {len(data)}")
    return Images(count, len(data), lambda number: data[number * each : (number + 1) * each])


def _elements(data: memoryview, count: int) -> Iterator[memoryview]:
    """The elements of raw BYTES."""
    at = 0
    for number in range(count):
        if len(data) - at < LENGTH.size:
            raise FieldInvalid(
                "raw_input_contents",
                f"raw_input_contents ends before image {number} of {count}; "
                "each has its length before it, in 4 bytes, little-endian",
            )
        (length,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size
        if length > len(data) - at:
            stated = f"image {number} of raw_input_contents has {length} bytes by the 4 before it"
            raise FieldInvalid("raw_input_contents", f"{stated}, and {len(data) - at} are there")
        yield data[at : at + length]
        at += length
    if at < len(data):
        beyond = f"{len(data) - at} bytes after the last of the {count} images that the shape tells"
        raise FieldInvalid("raw_input_contents", f"raw_input_contents has {beyond}")


def _typed(tensor: Tensor, alias: ModelAlias, count: int) -> Images:
    wanted = "uint_contents" if alias.takes_crops else "bytes_contents"
    given = [field.name for field, _ in tensor.contents.ListFields()]
    if given != [wanted]:
        what = f"the data of {alias} must be in raw_input_contents or contents.{wanted}"
        raise FieldInvalid("inputs", f"{what}, {f'not in {given[0]}' if given else 'and there is none'}")
    elements = tensor.contents.uint_contents if alias.takes_crops else tensor.contents.bytes_contents
    each = math.prod(alias.dims)
    if len(elements) != count * each:
        raise FieldInvalid(
            "inputs", f"contents.{wanted} must have {count} x {each} elements, not {len(elements)}"
        )
    if alias.takes_crops:
        numbers = tensor.contents.uint_contents

        def crop(number: int) -> bytes:
            return _as_bytes(numbers[number * each : (number + 1) * each])

        return Images(count, NUMBER_BYTES * len(numbers), crop, takes_time=True)
    encoded = list(tensor.contents.bytes_contents)
    return Images(count, sum(map(len, encoded)), encoded.__getitem__)


def _as_bytes(numbers: list[int]) -> bytes:
    try:
        return bytes(numbers)
    except ValueError:
        raise FieldInvalid("inputs", f"UINT8 is from 0 to 255, and {max(numbers)} is not") from None
