"""How far an image is from those that the network was trained on."""

import bisect
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from fovea.errors import BundleInvalid
from fovea.frozen import Frozen

REFERENCE_FILE: Final = "reference.npy"

Embeddings = npt.NDArray[np.float32]
"""[n, D], each row of length 1: what the network's head reads of an image."""
Distances = npt.NDArray[np.float32]
"""[n], cosine distances, from 0 for the same direction to 2 for the opposite one."""

Stranger = Literal["noise", "inverted", "corrupted"]
"""What a release makes itself of images that are held out or tested on: noise of their size, negatives, and
half of the pixels replaced by noise."""


class MeasuredNovelty(Frozen):
    """What the threshold came to on images by which it was not chosen."""

    images: int = Field(ge=1)
    unknown: int = Field(ge=0, description="images beyond the threshold")
    interval_95: tuple[float, float] = Field(description="95 % confidence interval of the share unknown")
    auroc: dict[Stranger, float] = Field(
        description="how often a stranger that was made of these images is further away than one of them"
    )

    @property
    def share_unknown(self) -> float:
        return self.unknown / self.images


class OutOfDistribution(Frozen):
    """When an image is called unknown: its embedding lies further than the threshold from the training's."""

    k: int = Field(ge=1, description="the distance is that to the k-th nearest reference")
    threshold: float = Field(
        ge=0, le=2, description="cosine distance above which an image is unknown: unlike all references"
    )
    share: float = Field(
        gt=0, le=1, description="of the held-out images, at the threshold or nearer: what was asked"
    )
    quantiles: tuple[float, ...] = Field(
        min_length=2, description="of the held-out images' distances, at equal steps from 0 to 1"
    )
    images_by_part: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, description="held-out images in each part that the quantiles make; not in older bundles"
    )
    auroc: dict[Stranger, float] = Field(
        description="how often a stranger that was made of held-out images is further away than one of them"
    )
    measured: MeasuredNovelty | None = Field(
        None, description="on the part test; none where there is no such part, and in older bundles"
    )

    @model_validator(mode="after")
    def _counts_fit_the_quantiles(self) -> "OutOfDistribution":
        if self.images_by_part is None:
            return self
        counts, parts = self.images_by_part, len(self.quantiles) - 1
        if len(counts) != parts or not any(counts):
            raise ValueError(f"images_by_part must count images in the {parts} parts that the quantiles make")
        for part in range(1, parts):
            if counts[part] and self.quantiles[part] == self.quantiles[part + 1]:
                raise ValueError(f"images_by_part counts images in part {part}, between equal quantiles")
        return self

    def is_unknown(self, distance: float) -> bool:
        """The image is unlike all of the training's."""
        return distance > self.threshold

    def place(self, distance: float) -> int:
        """Which of the parts that the quantiles make the distance is in: ties are all in the lowest."""
        return bisect.bisect_left(self.quantiles[1:-1], distance)

    def counts(self) -> npt.NDArray[np.int64]:
        """int64 [parts]: the held-out images in each, all 0 of older bundles, which do not tell."""
        return np.array(self.images_by_part or [0] * (len(self.quantiles) - 1), np.int64)


class Neighbours:
    """Embeddings of training images, and how far others are from the k-th nearest of them.

    (Y. Sun, Y. Ming, X. Zhu and Y. Li, Out-of-Distribution Detection with Deep Nearest Neighbors, 2022,
    arXiv 2204.06507.)
    """

    def __init__(self, embeddings: Embeddings, k: int) -> None:
        """embeddings float32 [m, D], m >= k. Raises ValueError for another shape."""
        if embeddings.ndim != 2 or not 1 <= k <= len(embeddings):
            raise ValueError(f"there must be at least {k} references [m, D], not {embeddings.shape}")
        self.k = k
        self._references = np.ascontiguousarray(embeddings)

    @property
    def values(self) -> int:
        """Of an embedding."""
        return int(self._references.shape[1])

    def distances(self, embeddings: Embeddings) -> Distances:
        """float32 [n, D] -> float32 [n], for an image the same to the bit in a batch of any size.

        A product of matrices would be faster, but its sums depend on the batch's size, and it has threads of
        its own, which wait for each other on cores that decode. Here each pair is a sum of its own.
        """
        similarities = _products(np.ascontiguousarray(embeddings), self._references)
        kth = np.partition(similarities, -self.k, axis=1)[:, -self.k]
        return np.asarray((1 - kth).clip(0, 2))


def _products(these: Embeddings, those: Embeddings) -> npt.NDArray[np.float32]:
    """[n, D] and [m, D] -> [n, m], each pair's own sum."""
    if hasattr(np, "vecdot"):
        return np.asarray(np.vecdot(these[:, None], those))
    return np.array([[np.dot(this, that) for that in those] for this in these])  # numpy 1, as Triton has it


def write_reference(folder: Path, embeddings: Embeddings) -> None:
    """Writes reference.npy, float32 [m, D]."""
    np.save(folder / REFERENCE_FILE, embeddings)


def read_neighbours(path: Path, k: int) -> Neighbours:
    """Of a reference.npy, whose pages all processes share. Raises BundleInvalid when it is none."""
    try:
        embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
        if embeddings.dtype != np.float32 or not np.isfinite(embeddings).all():
            raise ValueError("embeddings must be finite float32")
        return Neighbours(embeddings, k)
    except (OSError, ValueError, EOFError) as error:
        raise BundleInvalid(f"{path}: cannot be read: {error}") from error
