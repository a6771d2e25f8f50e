"""What is wanted of an image, where that is more than to decode it and tell its probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from fovea.images.preprocess import Pixels
from server.compute.compute import Picture


@dataclass(frozen=True, slots=True)
class Task:
    """Stands in the queue where an encoded image, as bytes, does otherwise."""

    content: bytes | memoryview
    """An encoded image, or the uint8 pixels of a crop [S, S, 3], row by row."""
    is_crop: bool = False
    wants_logits: bool = False

    def __len__(self) -> int:
        return len(self.content)


def picture_of(image: bytes | Task, decode: Callable[[bytes], Pixels], side: int) -> Picture:
    """`side` is the crops' S."""
    if not isinstance(image, Task):
        return Picture(partial(decode, image))
    if image.is_crop:
        crop = np.frombuffer(image.content, np.uint8).reshape(side, side, 3)
        return Picture.of_crop(crop, image.wants_logits)
    return Picture(partial(decode, bytes(image.content)), image.wants_logits)
