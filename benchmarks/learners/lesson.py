"""What a learner is given and what it prints, as JSON. fastai's has an environment of its own: no more than
the standard library is imported here."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import Final

SMALLEST_CROP: Final = 0.85
LARGEST_ROTATION: Final = 10
"""In degrees. Nothing is mirrored, tilted or lit otherwise: what --data digits implies, for all of them."""


@dataclass(frozen=True)
class Lesson:
    """What all learners are given alike."""

    folder: str
    """With train/LABEL/*.png and val/LABEL/*.png"""
    arch: str
    size: int
    batch_size: int
    epochs: int
    threads: int
    seed: int


@dataclass(frozen=True)
class Learnt:
    """What came of it, at the end of the last epoch."""

    learner: str
    """With its version, for a person"""
    lr: float
    """The highest of the schedule"""
    accuracy: float
    loss: float
    """Mean negative log likelihood in nats"""
    images: int
    """That an epoch's whole batches hold"""
    train_s: list[float]
    """Of each epoch's steps alone"""


def given() -> Lesson:
    return Lesson(**json.loads(sys.argv[1]))


def tell(learnt: Learnt) -> None:
    print(json.dumps(asdict(learnt)))
