"""A captured image as it is shown and compared: the whole of it, small."""

import base64
import io
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from fovea.images.preprocess import Pixels, decode_image
from fovea.images.spec import PreprocessSpec
from trainer.images.field import Field, Pictures
from trainer.images.groups import groups, neighbours_of
from trainer.images.near_duplicates import find_near_duplicates

SIDE: Final = 224
"""The longer one of what is shown, in pixels."""
COMPARED: Final = 64
"""Side of what is compared, whatever its proportions: as many pixels as likeness looks at."""
MOST_BYTES: Final = 16 * 1024
"""Of what is shown: noise takes less of its quality, or it would be five times as large as a photograph."""
QUALITIES: Final = (78, 50, 20, 0)
BARS: Final = (255, 0, 254)
"""A colour that hardly any image has along a whole edge: it is taken off again."""
SPEC: Final = PreprocessSpec(size=SIDE, resize=SIDE, interpolation="bicubic", fit="pad", pad_colour=BARS)


class Picture(NamedTuple):
    shown: bytes
    """a WebP file"""
    compared: Pixels
    """uint8 [64, 64, 3]"""

    @property
    def address(self) -> str:
        """A data URI."""
        return f"data:image/webp;base64,{base64.b64encode(self.shown).decode()}"


def picture_of(data: bytes) -> Picture:
    """Of an image file: all of it, upright, in its proportions. Raises ImageInvalid."""
    image = Image.fromarray(_without_bars(decode_image(data, SPEC)))
    compared = image.resize((COMPARED, COMPARED), Image.Resampling.BOX)
    return Picture(_as_webp(image), np.asarray(compared))


def grouped(pictures: Sequence[Picture], labels: Sequence[str]) -> list[list[int]]:
    """Places of pictures that are nearly the same, each picture in one group, in the order of their first.
    `labels` are what a model takes them for: how alike two classes are says how little likeness means."""
    found: list[list[int]] = []
    if len(pictures) > 1:
        cache = np.stack([picture.compared for picture in pictures])
        field = Field(cache, np.arange(len(cache)))
        targets = np.unique(labels, return_inverse=True)[1].astype(np.int64)
        pairs = find_near_duplicates(Pictures([field]), targets, COMPARED, mirrored=False)
        found = groups(neighbours_of(pairs))
    among = {place for group in found for place in group}
    alone = [[place] for place in range(len(pictures)) if place not in among]
    return sorted([*found, *alone])


def _without_bars(pixels: Pixels) -> Pixels:
    differs = (pixels != np.array(BARS, np.uint8)).any(2)
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    if not len(rows):
        return pixels
    return np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _as_webp(image: Image.Image) -> bytes:
    for quality in QUALITIES:
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=3)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()
