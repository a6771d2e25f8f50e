"""What is wanted of an image, where that is more than to decode it and tell its probabilities."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fovea.preprocess import Pixels
from server.compute import Picture


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
        return Picture(lambda: decode(image))
    content = image.content
    if image.is_crop:
        return Picture(lambda: np.frombuffer(content, np.uint8).reshape(side, side, 3), image.wants_logits)
    return Picture(lambda: decode(bytes(content)), image.wants_logits)
