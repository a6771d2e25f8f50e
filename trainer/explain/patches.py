"""Which part of a map is worked out by hand."""

from dataclasses import dataclass

import numpy as np

from trainer.explain.pictures import Floats


@dataclass(frozen=True)
class Patch:
    """A square of a convolution's output, and what of its input lies under it."""

    top: int
    left: int
    height: int
    width: int
    """of the output"""
    input_side: int
    """of the whole input, without padding"""
    side: int
    """of the kernel"""
    stride: int
    padding: int

    @property
    def rows(self) -> slice:
        """of the output"""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)

    @property
    def input_rows(self) -> range:
        """of the input; those below 0 and above its last are padding"""
        return _under(self.top, self.height, self)

    @property
    def input_columns(self) -> range:
        return _under(self.left, self.width, self)

    def cut(self, values: Floats) -> Floats:
        """values [C, h, w] -> what lies under the patch, the padding's zeros included."""
        around = np.pad(values, ((0, 0), (self.padding,) * 2, (self.padding,) * 2))
        rows, columns = self.input_rows, self.input_columns
        pad = self.padding
        return around[:, rows.start + pad : rows.stop + pad, columns.start + pad : columns.stop + pad]

    def is_padding(self, row: int, column: int) -> bool:
        """Of a place in what `cut` gives."""
        inside = range(self.input_side)
        return self.input_rows[row] not in inside or self.input_columns[column] not in inside

    @property
    def has_padding(self) -> bool:
        return any(
            not 0 <= places.start < places.stop <= self.input_side
            for places in (self.input_rows, self.input_columns)
        )

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Where it lies in the image, about: left, top, width and height as shares of its side."""
        left, right = _share(self.input_columns, self.input_side)
        top, bottom = _share(self.input_rows, self.input_side)
        return left, top, right - left, bottom - top


def most_varied_patch(
    output: Floats, input_side: int, most: int, side: int, stride: int, padding: int
) -> Patch:
    """The patch of `most` x `most` of a map [h, w] whose values differ most. Where there is padding, it is
    one of those that show it: at an edge."""
    height, width = (min(most, length) for length in output.shape)
    spread = np.lib.stride_tricks.sliding_window_view(output, (height, width)).std((2, 3))
    for place in np.argsort(-spread, axis=None, kind="stable"):
        top, left = divmod(int(place), spread.shape[1])
        patch = Patch(top, left, height, width, input_side, side, stride, padding)
        if patch.has_padding or not padding:
            break
    return patch  # the one in the upper left corner at the latest


def _under(start: int, length: int, patch: Patch) -> range:
    first = start * patch.stride - patch.padding
    return range(first, first + (length - 1) * patch.stride + patch.side)


def _share(places: range, side: int) -> tuple[float, float]:
    return max(places.start, 0) / side, min(places.stop, side) / side
