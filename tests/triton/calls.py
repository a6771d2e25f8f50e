"""Calls of the Open Inference Protocol by tritonclient, the same for every server."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tritonclient import grpc as oip
from tritonclient.utils import InferenceServerException

COLOURS = ((220, 30, 40), (20, 200, 60), (30, 40, 210))


def picture(index: int) -> bytes:
    """An image file of one of three colours, each a little different."""
    red, green, blue = COLOURS[index % 3]
    data = io.BytesIO()
    size = (20 + index % 50, 24)
    Image.new("RGB", size, (red, green, (blue + index) % 256)).save(data, ("PNG", "JPEG", "WEBP")[index % 3])
    return data.getvalue()


def image_input(images: Sequence[bytes]) -> list[oip.InferInput]:
    tensor = oip.InferInput("image", [len(images), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(images, dtype=np.object_).reshape(-1, 1))
    return [tensor]


def infer(
    client: oip.InferenceServerClient, model: str, images: Sequence[bytes], **options: Any
) -> oip.InferResult:
    return client.infer(model, image_input(images), **options)


def classes(output: str, k: int) -> list[oip.InferRequestedOutput]:
    """An output, to be answered by its k best classes."""
    return [oip.InferRequestedOutput(output, class_count=k)]


def refusal(call: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    """The status and the message of a call that fails."""
    with pytest.raises(InferenceServerException) as raised:
        call(*arguments, **options)
    return str(raised.value.status()).removeprefix("StatusCode."), raised.value.message()
