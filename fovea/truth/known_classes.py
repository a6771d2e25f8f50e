"""The classes as a network sees them, and how far an image is from the nearest of them."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fovea.errors import BundleInvalid

REFERENCE_FILE: Final = "reference.npy"

Embeddings = npt.NDArray[np.float32]
"""[n, D], each row of length 1: what the network's head reads of an image."""
Distances = npt.NDArray[np.float32]
"""[n], from 0: see `KnownClasses`."""
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class KnownClasses:
    """A normal distribution about the mean of each class, of one covariance: Mahalanobis' distance.

    The distance is that to the nearest mean, over the root of D: by how many standard deviations an embedding
    is off, in the root mean square of all directions. About 1 is usual. The covariance is told apart along r
    directions, and is the same along all others.
    (K. Lee, K. Lee, H. Lee and J. Shin, A Simple Unified Framework for Detecting Out-of-Distribution Samples
    and Adversarial Attacks, 2018, arXiv 1807.03888.)
    """

    centre: Floats
    """[D], the mean of the training's embeddings"""
    directions: Floats
    """[r, D], of length 1 and at right angles"""
    inverse_deviations: Floats
    """[r + 1], 1 over the standard deviation along each direction, and along any other"""
    means: Floats
    """[classes, r], as seen from the centre, in standard deviations along the directions"""

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():  # a sum goes another way over numbers that lie apart
            object.__setattr__(self, name, np.ascontiguousarray(array))

    @property
    def arrays(self) -> dict[str, Floats]:
        """Its fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def _half_squares(self) -> Floats:
        """[classes], of the means."""
        return _products(self.means, self.means) * np.float32(0.5)

    @property
    def values(self) -> int:
        """Of an embedding."""
        return len(self.centre)

    def distances(self, embeddings: Embeddings) -> Distances:
        """float32 [n, D] -> float32 [n], for an image the same to the bit in a batch of any size.

        Products of matrices would be faster, but their sums depend on the batch's size, and they have threads
        of their own, which wait for each other on cores that decode. Here each sum is one of two vectors.
        """
        apart = np.ascontiguousarray(embeddings - self.centre)
        return np.array([self._distance(off) for off in apart], np.float32)

    def _distance(self, off: Floats) -> float:
        along = _products(self.directions, off)
        # Rounding may leave less than nothing.
        others = max(0.0, _square(off) - _square(along)) * float(self.inverse_deviations[-1]) ** 2
        seen = along * self.inverse_deviations[:-1]
        # Rounding may take another of two that are as near; the distance is then that to this one, exactly.
        nearest = self.means[np.argmax(_products(self.means, seen) - self._half_squares)]
        return float(np.sqrt((_square(nearest - seen) + others) / self.values))


def _square(vector: Floats) -> float:
    return float(np.dot(vector, vector))


def _products(these: Floats, those: Floats) -> Floats:
    """[n, D] and [D] or [n, D] -> [n], each pair's own sum."""
    if hasattr(np, "vecdot"):
        return np.asarray(np.vecdot(these, those))
    pairs = zip(these, np.broadcast_to(those, these.shape), strict=True)
    return np.array([np.dot(this, that) for this, that in pairs])  # numpy 1, as Triton has it


def write_known_classes(folder: Path, known: KnownClasses) -> None:
    """Writes reference.npy: one record, whose fields are those of `KnownClasses`, float32."""
    arrays = known.arrays
    record = np.zeros(1, [(name, np.float32, array.shape) for name, array in arrays.items()])
    for name, array in arrays.items():
        record[name] = array
    np.save(folder / REFERENCE_FILE, record)


def read_known_classes(path: Path) -> KnownClasses:
    """Of a reference.npy, whose pages all processes share. Raises BundleInvalid when it is none."""
    try:
        record, names = (
            np.load(path, mmap_mode="r", allow_pickle=False),
            [each.name for each in fields(KnownClasses)],
        )
        if record.shape != (1,) or record.dtype.names != tuple(names):
            raise ValueError(f"there must be one record of {', '.join(names)}")
        known = KnownClasses(*(np.asarray(record[name][0]) for name in names))
        _check(known)
    except (OSError, ValueError, EOFError) as error:
        raise BundleInvalid(f"{path}: cannot be read: {error}") from error
    return known


def _check(known: KnownClasses) -> None:
    """Raises ValueError."""
    arrays = known.arrays.values()
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays):
        raise ValueError("its numbers must be finite float32")
    if [array.ndim for array in arrays] != [1, 2, 1, 2] or 0 in known.means.shape:
        raise ValueError("its fields have other dimensions")
    classes, r = known.means.shape
    if [array.shape for array in arrays] != [(known.values,), (r, known.values), (r + 1,), (classes, r)]:
        raise ValueError("the shapes of its fields do not fit each other")
    if not (known.inverse_deviations > 0).all():
        raise ValueError("deviations must be above 0")
