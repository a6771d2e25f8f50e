"""Runs the extension on pixels, and into a result, with forbidden memory before or right behind them.

Ends with 0 where every result is Pillow's; a byte read or written beyond ends the process by a signal. Run by
test_resize.py: python -m tests.fovea.images.guarded_resize
"""

import ctypes
import mmap
from typing import Any, Final

import numpy as np
from PIL import Image

from fovea.images import preprocess
from fovea.images.preprocess import _by_pillow, _square
from fovea.images.spec import Interpolation

PAGE: Final = mmap.PAGESIZE
LIBC: Final = ctypes.CDLL(None, use_errno=True)
FILTERS: Final[tuple[Interpolation, ...]] = ("bilinear", "bicubic", "lanczos")
_NEW: Final = ctypes.pythonapi.PyCapsule_New
_NEW.restype, _NEW.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Schema(ctypes.Structure):
    """Of the Arrow C data interface, as far as it is read."""

    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("format", "name", "metadata")),
        *((name, ctypes.c_int64) for name in ("flags", "n_children")),
        *((name, ctypes.c_void_p) for name in ("children", "dictionary", "release", "private_data")),
    )


class Array(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
        *((n, ctypes.c_void_p) for n in ("buffers", "children", "dictionary", "release", "private_data")),
    )


class Guarded:
    """So many bytes of memory, with a page that is forbidden right behind them, or right before."""

    def __init__(self, size: int, *, at_end: bool) -> None:
        pages = -(-size // PAGE)
        self._map = mmap.mmap(-1, (pages + 2) * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (start, start + (pages + 1) * PAGE):
            if LIBC.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.address = start + PAGE + (pages * PAGE - size if at_end else 0)
        self.bytes = (ctypes.c_ubyte * size).from_address(self.address)


def exported(pixels: int, count: int, keep: list[Any]) -> tuple[Any, Any]:
    """Capsules of an export of `count` pixels at that address, whose parts live as long as `keep`."""
    child, samples = Schema(format=b"C", release=1), Array(length=4 * count, n_buffers=2, release=1)
    buffers = (ctypes.c_void_p * 2)(None, pixels)
    samples.buffers = ctypes.addressof(buffers)
    children = [(ctypes.c_void_p * 1)(ctypes.addressof(part)) for part in (child, samples)]
    schema = Schema(format=b"+w:4", n_children=1, children=ctypes.addressof(children[0]), release=1)
    array = Array(length=count, n_children=1, children=ctypes.addressof(children[1]), release=1)
    keep += [child, samples, buffers, children, schema, array]
    return _NEW(ctypes.addressof(schema), b"arrow_schema", None), _NEW(
        ctypes.addressof(array), b"arrow_array", None
    )


def check(samples: Any, size: int, shorter: int, number: int, *, at_end: bool) -> None:
    assert preprocess._extension is not None
    height, width, _ = samples.shape
    image = Image.fromarray(samples)
    square = _square(image, size, shorter, FILTERS[number])
    pixels, result = Guarded(width * height * 4, at_end=at_end), Guarded(size * size * 3, at_end=at_end)
    ctypes.memmove(pixels.address, image.convert("RGBX").tobytes(), width * height * 4)
    keep: list[Any] = []
    capsules = exported(pixels.address, width * height, keep)
    for plain in (False, True):
        ctypes.memset(result.address, 0, size * size * 3)
        arguments = (width, height, *square, size, number, plain)
        preprocess._extension.centre(*capsules, result.bytes, *arguments)
        crop = np.frombuffer(bytes(result.bytes), np.uint8).reshape(size, size, 3)
        if not np.array_equal(crop, _by_pillow(image, size, square, FILTERS[number])):
            raise SystemExit(f"{width} x {height} -> {size} of {shorter}, {FILTERS[number]}, {plain}")


def main() -> None:
    chance = np.random.default_rng(4)
    for turn in range(200):
        width, height = (int(side) for side in chance.integers(1, (9, 40, 300)[turn % 3], 2))
        shorter = int(chance.integers(1, 120))
        samples = chance.integers(0, 256, (height, width, 3), np.uint8)
        for number in range(3):
            for at_end in (True, False):
                size = int(chance.integers(1, shorter + 1))
                check(samples, size, shorter, number, at_end=at_end)


if __name__ == "__main__":
    main()
