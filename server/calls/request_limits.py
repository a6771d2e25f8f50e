"""ClassifyBatch calls with more images than may be, refused before they are parsed.

Parsing may take many times the memory that a request has bytes.
"""

from typing import Final

from google.protobuf.descriptor import MethodDescriptor

from fovea.v1 import classify_pb2 as pb
from server.calls.handlers import Check
from server.calls.message_fields import fields
from server.errors import InvalidField

MAX_OTHER_FIELDS: Final = 100
"""There are five beside the images. Each that is there takes time to step over."""

_IMAGES: Final = pb.ClassifyBatchRequest.DESCRIPTOR.fields_by_name["images"].number


def screen_of(max_images: int) -> Check:
    """`max_images` is of one call."""

    def check(method: MethodDescriptor, data: bytes) -> None:
        if method.name == "ClassifyBatch":
            _check_batch(data, max_images)

    return check


def _check_batch(data: bytes, max_images: int) -> None:
    images = others = 0
    for number, *_ in fields(data, 0, len(data)):
        if number == _IMAGES:
            images += 1
        else:
            others += 1
        if images > max_images:
            raise InvalidField("images", f"a call carries from 1 to {max_images} images; this one has more")
        if others > MAX_OTHER_FIELDS:
            limit = f"a request may have {MAX_OTHER_FIELDS} fields beside its images"
            raise InvalidField("request", f"{limit}; this one has more")
    if not images:
        raise InvalidField("images", f"a call carries from 1 to {max_images} images; this one has none")
