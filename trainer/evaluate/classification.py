"""Files classified as serving would classify them: decoded by the bundle's contract, in batches."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels, decode_image
from fovea.model.classifier import Classifier
from fovea.ordered import Window, ordered_map
from trainer.evaluate.metrics import Logits
from trainer.images.audit import BadFile
from trainer.images.sources import Sample
from trainer.progress import show_progress

BATCH_SIZE: Final = 32


def classify_samples(
    classifier: Classifier, samples: Sequence[Sample], threads: int
) -> tuple[list[Sample], list[BadFile], Logits]:
    """The images that can be decoded, the others, and the probabilities float32 [n, classes] of the first."""
    spec = classifier.bundle.contract.preprocess

    def decode(sample: Sample) -> Pixels | BadFile:
        try:
            return decode_image(sample.path.read_bytes(), spec)
        except ImageInvalid as error:
            return BadFile(str(sample), str(error))
        except OSError as error:
            return BadFile(str(sample), f"cannot be read: {error.strerror}")

    decoded = ordered_map(decode, samples, threads, Window(2 * BATCH_SIZE))
    usable: list[Sample] = []
    bad: list[BadFile] = []

    def crops() -> Iterator[Pixels]:
        outcomes = show_progress(decoded, "evaluating", len(samples))
        for sample, outcome in zip(samples, outcomes, strict=True):
            if isinstance(outcome, BadFile):
                bad.append(outcome)
            else:
                usable.append(sample)
                yield outcome

    probabilities: Logits = np.empty((len(samples), len(classifier.labels)), np.float32)
    done = 0
    for batch in _batches(crops()):
        probabilities[done : done + len(batch)] = classifier.classify(batch)
        done += len(batch)
    return usable, bad, probabilities[:done]


def _batches(crops: Iterator[Pixels]) -> Iterator[Pixels]:
    """[n, S, S, 3], n up to BATCH_SIZE."""
    waiting: list[Pixels] = []
    for crop in crops:
        waiting.append(crop)
        if len(waiting) == BATCH_SIZE:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)
