"""ClassifyBatch calls with more images than may be, refused before they are parsed.

Parsing may take many times the memory that a request has bytes.
"""

from functools import partial
from typing import Final

from fovea.v1 import classify_pb2 as pb
from server.calls.answering import RequestLimit
from server.calls.message_fields import fields
from server.errors import FieldInvalid

MAX_OTHER_FIELDS: Final = 100
"""There are five beside the images. Each that is there takes time to step over."""

_IMAGES: Final = pb.ClassifyBatchRequest.DESCRIPTOR.fields_by_name["images"].number


def classifier_limits(max_images: int) -> dict[str, RequestLimit]:
    """By method, of which the others take one image; `max_images` is of one call."""
    return {"ClassifyBatch": partial(check_batch, max_images=max_images)}


def check_batch(data: bytes, max_images: int) -> None:
    """Raises FieldInvalid for other numbers of images, DecodeError for what is no request."""
    images = others = 0
    for number, *_ in fields(data, 0, len(data)):
        if number == _IMAGES:
            images += 1
        else:
            others += 1
        if images > max_images:
            break
        if others > MAX_OTHER_FIELDS:
            limit = f"a request may have {MAX_OTHER_FIELDS} fields beside its images"
            raise FieldInvalid("request", f"{limit}; this one has more")
    check_count(images, max_images)


def check_count(images: int, max_images: int) -> None:
    """Raises FieldInvalid; there may be more images than those that were counted."""
    if not 0 < images <= max_images:
        there = "more" if images else "none"
        raise FieldInvalid("images", f"a call carries from 1 to {max_images} images; this one has {there}")
