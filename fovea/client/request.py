"""One image as a request to a server: from a path, bytes, a picture or an array."""

import os
from collections.abc import Sequence
from functools import lru_cache
from os import PathLike
from typing import TYPE_CHECKING, Final, Literal, Union, get_args

from fovea.errors import DataInvalid, extra_missing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    from fovea.v1 import classify_pb2

ImageLike = Union[str, PathLike[str], bytes, "Image.Image", "npt.NDArray[np.uint8]"]
"""A path, an encoded image, a PIL image, or uint8 [height, width, 3]; the last two travel as PNG."""

LARGEST_IMAGE_BYTES: Final = 1024**3
"""No server can be told to take more, so that a file that is no image at all is not read."""

Priority = Literal["interactive", "bulk"]
Want = Literal["distance", "label_set", "embedding"]
"""What an answer has only for who wants it."""
WANTS: Final = get_args(Want)

_IMAGE_TAG: Final = 0x0A
"""Of the request's field `image`, which is 1."""

_PRIORITIES: Final = {
    "interactive": "PRIORITY_INTERACTIVE",
    "bulk": "PRIORITY_BULK",
}


def classify_request(
    data: bytes,
    *,
    top_k: int,
    min_probability: float,
    model_version: int,
    priority: Priority,
    model: str = "",
    want: Sequence[Want] = (),
    request_id: str = "",
) -> bytes:
    """A ClassifyRequest as it travels: protobuf, to write it, would copy the image several times.

    Raises ValueError for what cannot travel; whether it makes sense is for the server to say.
    """
    if priority not in _PRIORITIES:
        raise ValueError(f"priority is {' or '.join(_PRIORITIES)}, not {priority!r}")
    if unknown := [each for each in want if each not in WANTS]:
        raise ValueError(f"want is of {', '.join(WANTS)}, not {unknown[0]!r}")
    head = bytearray((_IMAGE_TAG,))
    size = len(data)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    rest = _rest(top_k, min_probability, model_version, priority, model, tuple(want), request_id)
    return b"".join((head, data, rest))


@lru_cache(16, typed=True)
def _rest(
    top_k: int,
    min_probability: float,
    model_version: int,
    priority: Priority,
    model: str,
    want: tuple[Want, ...],
    request_id: str,
) -> bytes:
    """Of the request: the same for all of many images."""
    from fovea.v1 import classify_pb2

    return classify_pb2.ClassifyRequest(
        top_k=top_k,
        min_probability=min_probability,
        model_version=model_version,
        priority=classify_pb2.Priority.Value(_PRIORITIES[priority]),
        model=model,
        want_distance="distance" in want,
        want_label_set="label_set" in want,
        want_embedding="embedding" in want,
        request_id=request_id,
    ).SerializeToString()


def model_request(model_version: int, model: str) -> "classify_pb2.GetModelRequest":
    from fovea.v1 import classify_pb2

    return classify_pb2.GetModelRequest(model_version=model_version, model=model)


def check_many(images: object, window: int) -> None:
    """Raises TypeError for one path or one encoded image, which Python would take for many small ones.

    Raises ValueError for a window in which nothing has room.
    """
    if isinstance(images, str | bytes):
        raise TypeError("classify_many takes several images; for one there is classify")
    if window < 1:
        raise ValueError(f"window must be at least 1, not {window}")


def name_of(image: ImageLike, index: int | None = None) -> str:
    """What errors call an image: its path, else its place among several, else nothing."""
    if isinstance(image, str | PathLike):
        return str(image)
    return "" if index is None else f"image {index}"


def encoded_as(name: str, image: ImageLike) -> bytes:
    """`encoded`, with the image's name before what is wrong with it."""
    try:
        return encoded(image)
    except DataInvalid as error:
        if str(error).startswith(name):
            raise
        raise DataInvalid(f"{name}: {error}") from error


def encoded(image: ImageLike) -> bytes:
    """The bytes that travel for an image. Raises DataInvalid for what cannot be read or is no image.

    Raises ExtraMissing for a picture or an array where Pillow or numpy is not installed.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | PathLike):
        return _read(image)
    try:
        from fovea.client.pictures import as_png  # which takes longer to load than all of the client
    except ModuleNotFoundError as error:
        raise extra_missing(error, "sending a picture or an array", "images") from error
    return as_png(image)


def _read(name: str | PathLike[str]) -> bytes:
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - pathlib would be a sixth of what the client loads
            size = os.fstat(file.fileno()).st_size
            # A device or a pipe has no size, and may never end.
            data = b"" if size > LARGEST_IMAGE_BYTES else file.read(LARGEST_IMAGE_BYTES + 1)
        if (size := max(size, len(data))) > LARGEST_IMAGE_BYTES:
            raise DataInvalid(f"{name}: {size} bytes are more than any server takes")
        return data
    except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
        raise DataInvalid(f"{name}: cannot be read: {getattr(error, 'strerror', error)}") from error
