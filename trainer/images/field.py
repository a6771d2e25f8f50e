"""Decoded pictures to be compared with each other: of all the same field of view, as small as wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from fovea.images.preprocess import Pixels
from fovea.images.spec import Colour, PreprocessSpec
from trainer.images.augment import pictures as pictures_between_bars

Places = npt.NDArray[np.int64]

EVERY: Final = 8
"""Row and column whose sharpness is looked at."""


@dataclass(frozen=True)
class Field:
    """What all pictures of a cache show of their images."""

    cache: Pixels
    """uint8 [rows, S, S, 3]"""
    rows: Places
    """[n], the row of each picture in `cache`"""
    share: float = 1.0
    """of the side, in the middle: the rest is what others do not show"""
    bars: Colour | None = None
    """the colour of what is beside padded pictures, and no part of them"""

    @classmethod
    def of(cls, cache: Pixels, rows: Places, spec: PreprocessSpec, narrowest: PreprocessSpec) -> "Field":
        """Of pictures that were decoded by `spec`, what `narrowest` would have shown."""
        if spec.fit == "pad":
            return cls(cache, rows, bars=spec.pad_colour)
        seen = narrowest.size / narrowest.resize * spec.resize / spec.size
        return cls(cache, rows, min(1.0, seen))

    def at(self, places: Places, side: int) -> Tensor:
        """uint8 [n, 3, side, side]: these pictures, each pixel the mean of those that it stands for."""
        pixels = torch.from_numpy(np.asarray(self.cache[self.rows[places]]))
        if self.bars is not None:
            boxes = pictures_between_bars(pixels, self.bars)
            return torch.cat([_sized(_inside(*one), side) for one in zip(pixels, boxes, strict=True)])
        edge, whole = self._edge(pixels.shape[1]), pixels.shape[1]
        return _sized(pixels[:, edge : whole - edge, edge : whole - edge], side)

    def sharpness(self) -> npt.NDArray[np.float64]:
        """[n]: the variance of the second differences of its light along rows and along columns, the lesser,
        over that of its light (the variance of the Laplacian; Pech-Pacheco and others 2000); 0 where it is of
        one light. Every eighth row and column are looked at."""
        return np.array([_sharpness(pixels) for pixels in map(self._picture, range(len(self.rows)))])

    def _picture(self, place: int) -> Pixels:
        pixels = self.cache[self.rows[place]]
        if self.bars is not None:
            own = torch.from_numpy(np.array(pixels))
            (box,) = pictures_between_bars(own[None], self.bars)
            return _inside(own, box)[0].numpy()
        edge = self._edge(len(pixels))
        middle: Pixels = pixels[edge : len(pixels) - edge, edge : len(pixels) - edge]
        return middle

    def _edge(self, side: int) -> int:
        return round((1 - self.share) / 2 * side)


@dataclass(frozen=True)
class Pictures:
    """Those of several fields, numbered through."""

    fields: Sequence[Field]

    def __len__(self) -> int:
        return sum(len(field.rows) for field in self.fields)

    @property
    def field_of(self) -> Places:
        """[n]: the number of the field that each is of."""
        return np.repeat(np.arange(len(self.fields)), [len(field.rows) for field in self.fields])

    def at(self, places: Places, side: int) -> Tensor:
        """uint8 [n, 3, side, side]"""
        small = torch.empty(len(places), 3, side, side, dtype=torch.uint8)
        start = 0
        for field in self.fields:
            own = np.flatnonzero((places >= start) & (places < start + len(field.rows)))
            if len(own):
                small[torch.from_numpy(own)] = field.at(places[own] - start, side)
            start += len(field.rows)
        return small


def _inside(pixels: Tensor, box: Tensor) -> Tensor:
    """[S, S, 3] -> [1, h, w, 3]: the picture between bars; `box` as `augment.pictures` gives it."""
    side = pixels.shape[0]
    x, y, half_width, half_height = ((box + torch.tensor([1, 1, 0, 0])) * side / 2).tolist()
    rows = slice(round(y - half_height), max(round(y - half_height) + 1, round(y + half_height)))
    columns = slice(round(x - half_width), max(round(x - half_width) + 1, round(x + half_width)))
    return pixels[None, rows, columns]


def _sized(pixels: Tensor, side: int) -> Tensor:
    images = pixels.permute(0, 3, 1, 2)
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def _sharpness(pixels: Pixels) -> float:
    rows, columns = pixels[::EVERY, :, 1].astype(np.float32), pixels[:, ::EVERY, 1].T.astype(np.float32)
    variance = float(rows.var())
    if variance < 1:
        return 0.0
    differences = (lines[:, 2:] - 2 * lines[:, 1:-1] + lines[:, :-2] for lines in (rows, columns))
    return min(float(second.var()) if second.size else 0.0 for second in differences) / variance
