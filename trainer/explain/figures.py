"""What the templates show: pictures as addresses, and the arithmetic of a convolution's first position."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypedDict

import numpy as np
from matplotlib import colormaps
from PIL import Image

from trainer.explain.convolution import Channel, ConvolutionNumbers, WorkedConvolution
from trainer.explain.explanation import NamedImage
from trainer.explain.kernels import FirstKernels
from trainer.explain.pictures import Floats, as_png, data_uri, overlay, picture
from trainer.explain.saliency import SaliencyMaps

MAP_COLOURS: Final = "viridis"
LARGEST_MAP: Final = 56
COLOURS: Final = ("red", "green", "blue")

Table = list[list[float]]


def picture_uri(image: NamedImage) -> str:
    return data_uri(picture(image.pixels))


def overlay_uri(image: NamedImage, saliency: SaliencyMaps) -> str:
    return data_uri(overlay(image.pixels, saliency))


def kernels_uri(kernels: FirstKernels) -> str:
    return data_uri(as_png(Image.fromarray(kernels.sheet)))


def map_uri(values: Floats) -> str:
    """An activation map [h, w] in viridis, from its lowest value to its highest; large ones are reduced."""
    image = Image.fromarray(np.asarray(values, np.float32))
    if max(image.size) > LARGEST_MAP:
        image = image.resize((LARGEST_MAP, LARGEST_MAP), Image.Resampling.BOX)
    reduced = np.asarray(image)
    low, high = float(reduced.min()), float(reduced.max())
    places = (255 * (reduced - low) / max(high - low, 1e-12)).round().astype(np.uint8)
    coloured = Image.fromarray(places, "P")
    coloured.putpalette(
        (255 * colormaps[MAP_COLOURS](np.arange(256))[:, :3]).round().astype(np.uint8).tobytes()
    )
    return data_uri(as_png(coloured))


def signed(value: float, decimals: int) -> str:
    """With a real minus sign, and none before a zero."""
    text = f"{abs(value):.{decimals}f}"
    return f"−{text}" if value < 0 and float(text) else text


class Rounding(TypedDict):
    """A NumberFormat, as the page's script takes it."""

    decimals: int
    scale: float


class ShownNumbers(ConvolutionNumbers):
    """What the page's script computes and shows with."""

    products: Rounding
    sums: Rounding


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of one kind are written."""

    decimals: int
    scale: float
    """their largest magnitude: it has the full colour"""

    @classmethod
    def of(cls, values: Iterable[float]) -> "NumberFormat":
        scale = max(map(abs, values), default=0.0) or 1.0
        return cls(min(3, max(2, 2 - math.floor(math.log10(scale)))), scale)

    def rounding(self) -> Rounding:
        return {"decimals": self.decimals, "scale": self.scale}

    def amount(self, value: float) -> str:
        """A magnitude as a share of the largest, for the colour."""
        return f"{min(1.0, abs(value) / self.scale):.2f}"


@dataclass(frozen=True)
class Arithmetic:
    """A worked convolution as it is shown: formats, and the numbers of the first position."""

    worked: WorkedConvolution
    inputs: NumberFormat
    weights: NumberFormat
    products: NumberFormat
    sums: NumberFormat
    first: tuple[Table, ...]
    """the products of each channel at the first position"""

    @classmethod
    def of(cls, worked: WorkedConvolution) -> "Arithmetic":
        products = [_products(c, r, s, worked) for c in worked.channels for r, s in _positions(worked)]
        return cls(
            worked,
            inputs=NumberFormat.of(v for c in worked.channels for v in chain(*c.values)),
            weights=NumberFormat.of(v for c in worked.channels for v in chain(*c.weights)),
            products=NumberFormat.of(v for table in products for v in chain(*table)),
            sums=NumberFormat.of(chain(*worked.expected)),
            first=tuple(_products(c, 0, 0, worked) for c in worked.channels),
        )

    @property
    def parts(self) -> list[float]:
        """What each channel adds to the first position."""
        return [sum(chain(*table)) for table in self.first]

    def title(self, channel: Channel) -> str:
        """The network's own first layer sees colours."""
        return COLOURS[channel.index] if self.worked.input_shape[0] == len(COLOURS) else str(channel.index)

    def numbers(self) -> ShownNumbers:
        return {
            **self.worked.numbers(),
            "products": self.products.rounding(),
            "sums": self.sums.rounding(),
        }


def _positions(worked: WorkedConvolution) -> Iterable[tuple[int, int]]:
    return np.ndindex(worked.patch.height, worked.patch.width)


def _products(channel: Channel, row: int, column: int, worked: WorkedConvolution) -> Table:
    top, left = row * worked.stride, column * worked.stride
    places = range(worked.side)
    return [[channel.values[top + y][left + x] * channel.weights[y][x] for x in places] for y in places]
