"""The page's pictures, as many as the page may weigh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.images.batches import Images
from trainer.pages.pictures import as_webp
from trainer.report.outcomes import Outcomes


@dataclass(frozen=True)
class Picture:
    """A held-out image on the page, and what the network made of it."""

    address: str
    """a data URI"""
    name: str
    truth: str
    predicted: str
    probability: float
    """of what was predicted"""
    of_truth: float
    saliency: str | None = None
    """data URI of the same image with what spoke for the prediction tinted"""

    @property
    def right(self) -> bool:
        return self.truth == self.predicted


class Album:
    """Takes pictures of held-out images while there is room; reads each when it is taken, and keeps none."""

    def __init__(self, heldout: Images, outcomes: Outcomes, labels: Sequence[str], budget_bytes: int) -> None:
        self._heldout, self._outcomes, self._labels = heldout, outcomes, labels
        self._left = budget_bytes

    def thumbnail(self, index: int) -> Picture | None:
        """None when there is no room left."""
        return self.take(index, as_webp(self._heldout.pixels(np.array([index]))[0]))

    def take(self, index: int, address: str, saliency: str | None = None) -> Picture | None:
        """The image under `address`, a data URI, if there is room for it."""
        weight = len(address) + len(saliency or "")
        if weight > self._left:
            return None
        self._left -= weight
        outcomes = self._outcomes
        return Picture(
            address,
            str(self._heldout.samples[index]),
            self._labels[outcomes.targets[index]],
            self._labels[outcomes.predicted[index]],
            float(outcomes.probability[index]),
            float(outcomes.of_truth[index]),
            saliency,
        )
