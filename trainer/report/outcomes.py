"""What became of each held-out image, and which of them the page shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.evaluate.metrics import Logits, Targets

WORST: Final = 12
"""Top losses that are shown."""
MOST_WRONG, MOST_RIGHT = 8, 4
"""Images of a cell that may be shown: of mistakes, and of right answers."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Outcomes:
    """Arrays of [n], in the images' order."""

    targets: Targets
    predicted: Targets
    probability: Floats
    """of what was predicted"""
    of_truth: Floats

    @classmethod
    def of(cls, probabilities: Logits, targets: Targets) -> "Outcomes":
        """probabilities float32 [n, classes]."""
        of_truth = probabilities[np.arange(len(targets)), targets]
        return cls(targets, probabilities.argmax(1), probabilities.max(1), of_truth)

    def worst(self) -> list[int]:
        """The images whose truth got the lowest probability, which is the highest loss; the worst first."""
        return _as_list(np.argsort(self.of_truth, kind="stable")[:WORST])

    def members(self, truth: int, predicted: int) -> list[int]:
        """Images of one cell of the confusion matrix, the most telling first, no more than may be shown: the
        surest mistakes, or the right answers that were least sure."""
        places = np.flatnonzero((self.targets == truth) & (self.predicted == predicted))
        right = truth == predicted
        order = np.argsort(self.probability[places] * (1 if right else -1), kind="stable")
        return _as_list(places[order][: MOST_RIGHT if right else MOST_WRONG])


def in_turn(groups: list[list[int]]) -> Iterator[tuple[int, int]]:
    """(group, member): the first of each group, then the second of each, so that none goes empty while
    another is full."""
    for place in range(max(map(len, groups), default=0)):
        for number, group in enumerate(groups):
            if place < len(group):
                yield number, group[place]


def _as_list(places: npt.NDArray[np.int64]) -> list[int]:
    return [int(place) for place in places]
