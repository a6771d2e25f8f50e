"""What may be wanted of an image beside its probabilities, and how the row that answers it holds that."""

import zlib
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fovea.images.preprocess import Pixels
from fovea.model.classifier import Classifier
from fovea.truth.known_classes import KnownClasses

LOGITS: Final = 1
EMBEDDING: Final = 2
DISTANCE: Final = 4
DRAW: Final = 8
"""Flags; an image wants any of them together."""

Row = npt.NDArray[np.float32]
"""Of one image: the probabilities of all classes, then as far as they are wanted the logits, the distance,
the draw (the bits of an uint32) and the embedding."""


Answered = dict[str, npt.NDArray[np.float32]]
"""By the output's name, [n, values]."""


class Details(NamedTuple):
    """What the model says of one image."""

    probabilities: Row
    """[classes]"""
    logits: Row | None = None
    """[classes]"""
    distance: float | None = None
    """From the training's images, see `fovea.truth.novelty`."""
    draw: float | None = None
    """In [0, 1): what randomises its prediction set, see `fovea.truth.sets`."""
    embedding: Row | None = None
    """[D], of length 1."""


class DetailedModel:
    """A classifier's rows of images, as they are wanted."""

    def __init__(self, classifier: Classifier, known_classes: KnownClasses | None) -> None:
        """`known_classes` are the bundle's, if any: only of such a model a distance may be wanted."""
        self.classifier = classifier
        self._known_classes = known_classes

    def answers(self, pixels: Pixels, wants: Sequence[int]) -> Answered:
        """What the model gives of uint8 [n, S, S, 3]; `wants` are the images' flags."""
        every = reduce(or_, wants)
        names = ["probabilities"]
        names += ["logits"] * bool(every & LOGITS) + ["embedding"] * bool(every & (EMBEDDING | DISTANCE))
        return dict(zip(names, self.classifier.answers(pixels, names), strict=True))

    def rows(self, answers: Answered, pixels: Pixels, wants: Sequence[int]) -> Sequence[Row]:
        """Each image's. Takes no device: distances are measured here, by the processor."""
        return [
            self._row({name: answer[index] for name, answer in answers.items()}, pixels[index], flags)
            for index, flags in enumerate(wants)
        ]

    def _row(self, answers: dict[str, Row], crop: Pixels, flags: int) -> Row:
        parts = [answers["probabilities"]]
        if flags & LOGITS:
            parts.append(answers["logits"])
        if flags & DISTANCE:
            assert self._known_classes is not None  # noqa: S101 - only of such a model it is wanted
            parts.append(self._known_classes.distances(answers["embedding"][np.newaxis]))
        if flags & DRAW:
            parts.append(np.array([zlib.crc32(crop.data)], np.uint32).view(np.float32))
        if flags & EMBEDDING:
            parts.append(answers["embedding"])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def details_of(row: Row, flags: int, classes: int) -> Details:
    """What a row holds of an image that wanted these."""
    if not flags:
        return Details(row)
    parts = iter(np.split(row, _starts(flags, classes)))
    return Details(
        next(parts),
        next(parts) if flags & LOGITS else None,
        float(next(parts)[0]) if flags & DISTANCE else None,
        int(next(parts).view(np.uint32)[0]) / 2**32 if flags & DRAW else None,
        next(parts) if flags & EMBEDDING else None,
    )


def _starts(flags: int, classes: int) -> list[int]:
    """Of all parts but the first; the embedding is as long as the rest."""
    starts, end = [], classes
    for flag, size in ((LOGITS, classes), (DISTANCE, 1), (DRAW, 1), (EMBEDDING, 0)):
        if flags & flag:
            starts.append(end)
            end += size
    return starts
