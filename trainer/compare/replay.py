"""The same files through two models, each read once, as serving would read and classify them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Final, NamedTuple

import numpy as np

from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels, decode_image
from fovea.model.classifier import CPU, Classifier
from fovea.ordered import Window, ordered_map
from trainer.evaluate.metrics import Logits
from trainer.images.audit import BadFile
from trainer.images.sources import Sample
from trainer.progress import show_progress

BATCH_SIZE: Final = 32


@dataclass(frozen=True)
class Replay:
    """What both models answer. Arrays of one length, in the samples' order."""

    samples: list[Sample]
    new: Logits
    """probabilities, float32 [n, the new model's classes]"""
    old: Logits
    """float32 [n, the old model's classes]"""
    bad: list[BadFile]
    """files that neither is asked about, since they cannot be decoded"""


class _Part(NamedTuple):
    samples: list[Sample]
    new: Logits
    old: Logits
    bad: list[BadFile]


def replay(new: Classifier, old: Classifier, samples: Sequence[Sample], threads: int) -> Replay:
    """Each thread reads, decodes and classifies a batch by itself: with `threads` threads, each classifier is
    to have one. A file is decoded once where both models want the same crop."""
    starts = range(0, len(samples), BATCH_SIZE)
    batches = (samples[start : start + BATCH_SIZE] for start in starts)
    parts = ordered_map(_Pair(new, old).answer, batches, threads, Window(2 * threads))
    usable: list[Sample] = []
    bad: list[BadFile] = []
    answers = [np.empty((len(samples), len(each.labels)), np.float32) for each in (new, old)]
    for part in show_progress(parts, f"comparing, by {BATCH_SIZE} images", len(starts)):
        done = slice(len(usable), len(usable) + len(part.samples))
        answers[0][done], answers[1][done] = part.new, part.old
        usable += part.samples
        bad += part.bad
    return Replay(usable, answers[0][: len(usable)], answers[1][: len(usable)], bad)


class _Pair:
    def __init__(self, new: Classifier, old: Classifier) -> None:
        self._classifiers = (new, old)
        spec, other = (each.bundle.contract.preprocess for each in (new, old))
        self._specs = (spec,) if spec == other else (spec, other)
        # On a GPU one thread at a time may call a classifier.
        on_cpu = all(each.provider == CPU for each in self._classifiers)
        self._turn: AbstractContextManager[object] = nullcontext() if on_cpu else Lock()

    def answer(self, samples: Sequence[Sample]) -> _Part:
        usable: list[Sample] = []
        bad: list[BadFile] = []
        crops: list[list[Pixels]] = []
        for sample in samples:
            try:
                crops.append(self._decode(sample))
            except ImageInvalid as error:
                bad.append(BadFile(str(sample), str(error)))
            except OSError as error:
                bad.append(BadFile(str(sample), f"cannot be read: {error.strerror}"))
            else:
                usable.append(sample)
        return _Part(usable, *self._classify(crops), bad)

    def _decode(self, sample: Sample) -> list[Pixels]:
        """A crop by each spec."""
        data = sample.path.read_bytes()
        return [decode_image(data, spec) for spec in self._specs]

    def _classify(self, crops: list[list[Pixels]]) -> tuple[Logits, Logits]:
        new, old = self._classifiers
        if not crops:
            return np.empty((0, len(new.labels)), np.float32), np.empty((0, len(old.labels)), np.float32)
        stacks = [np.stack(each) for each in zip(*crops, strict=True)]
        with self._turn:
            return new.classify(stacks[0]), old.classify(stacks[-1])
