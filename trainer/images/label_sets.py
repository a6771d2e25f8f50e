"""What a multi-label data set is made of: how often each label is set, and with which others."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

if TYPE_CHECKING:
    from trainer.images.batches import Images

MOST_TOGETHER: Final = 60
"""Labels of more than this have no table of pairs in audit.json."""


class LabelSetsRecord(BaseModel, frozen=True):
    """Of all images that are used, train, held out and test together where nothing else is said."""

    images: dict[str, int]
    """part -> images, for labels do not add up to them"""
    without: dict[str, int]
    """part -> images without any label"""
    mean_labels: float
    """of an image"""
    always: list[str] = []
    """labels that every image has, so that nothing can be learnt of them"""
    together: list[list[int]] = []
    """[labels][labels] images that have both, in the order of the labels; on the diagonal those that have
    the one; none where there are too many labels"""

    def findings(self) -> Iterator[str]:
        if self.always:
            yield (
                f"labels that every image has, of which nothing can be learnt: {len(self.always)}; "
                f"{self.always[0]!r}"
            )

    def line(self) -> str:
        without, images = sum(self.without.values()), sum(self.images.values())
        return f"{self.mean_labels:.2f} labels an image; {without} of {images} images have none"


def record_label_sets(labels: Sequence[str], parts: Mapping[str, "Images"]) -> LabelSetsRecord:
    every = np.concatenate([part.targets for part in parts.values()])
    counts = every.sum(0)
    return LabelSetsRecord(
        images={name: len(part) for name, part in parts.items()},
        without={name: int((part.targets.sum(1) == 0).sum()) for name, part in parts.items()},
        mean_labels=float(every.sum() / len(every)),
        always=[label for label, count in zip(labels, counts, strict=True) if count == len(every)],
        together=_together(every) if len(labels) <= MOST_TOGETHER else [],
    )


def _together(marks: npt.NDArray[np.int64]) -> list[list[int]]:
    """Of [n, labels]. As floats, which hold such counts exactly: NumPy has no fast product of integers."""
    has = marks.astype(np.float64)
    return (has.T @ has).astype(np.int64).tolist()  # type: ignore[no-any-return]
