"""What a worker does with a batch: decode what is not decoded yet, run the model, keep bad images apart."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np

from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels
from fovea.model.classifier import Classifier, Probabilities
from server.queue.worker import Computed

TOGETHER: Final = (1, 2, 4)
GAIN: Final = 0.97


class Picture:
    """One image on its way to the model: encoded, or decoded already by whoever had time to."""

    __slots__ = ("_decode", "_outcome", "decode_s", "wants_logits")

    def __init__(self, decode: Callable[[], Pixels], wants_logits: bool = False) -> None:
        """`decode` gives the crop, uint8 [S, S, 3], or raises what is wrong with the image."""
        self._decode: Callable[[], Pixels] | None = decode
        self._outcome: Pixels | Exception
        self.decode_s = 0.0
        self.wants_logits = wants_logits

    @classmethod
    def of_crop(cls, crop: Pixels, wants_logits: bool) -> "Picture":
        """One that there is nothing to decode of, which takes no time."""
        picture = cls(lambda: crop, wants_logits)
        picture._decode, picture._outcome = None, crop
        return picture

    def decode(self) -> Pixels | Exception:
        """The crop, decoded at the first call, or what is wrong with the image."""
        if self._decode is not None:
            started = time.monotonic()
            try:
                self._outcome = self._decode()
            except ImageInvalid as error:
                # Without its traceback, in whose frames the image would live on until the next collection.
                self._outcome = ImageInvalid(error.reason, str(error))
            except Exception as error:  # whoever asked for this image hears of it, and nobody else
                self._outcome = error
            self._decode = None  # and the encoded bytes with it
            self.decode_s = time.monotonic() - started
        return self._outcome


class CpuCompute:
    """Pictures -> probabilities on a CPU, in the thread that calls.

    There is one for each core, with a single-threaded session: nothing is handed from thread to thread
    between an image's bytes and its answer. An image that has the server for itself takes all cores, by
    another session. The model runs on few images at a time, for onnxruntime keeps the memory of each size.
    """

    def __init__(self, classifier: Classifier, wide: Classifier | None = None) -> None:
        """`wide` is the same model on all cores."""
        self._classifier = classifier
        self._wide = wide
        self.together = 1
        """How many images the model runs on at a time."""

    def find_best_size(self, crop: Pixels) -> None:
        """Sets `together` to what is fastest here: a few images gain a tenth on some processors."""
        best_s = math.inf
        for size in TOGETHER:
            pixels = np.repeat(crop[np.newaxis], size, axis=0)
            seconds = min(_seconds(self._classifier, pixels) for _ in range(3)) / size
            if seconds < GAIN * best_s:
                best_s, self.together = seconds, size

    def __call__(self, pictures: Sequence[Picture], is_alone: bool) -> Computed:
        wide = self._wide if is_alone else None
        classifier = wide or self._classifier
        started = time.monotonic()
        crops = [picture.decode() for picture in pictures]
        good = [crop for crop in crops if not isinstance(crop, Exception)]
        decoded = time.monotonic()
        run = _run_for(pictures, classifier)
        rows: list[Probabilities] = []
        while len(rows) < len(good):
            # That many or one: no other size is ever run, whose memory would be kept as well.
            size = self.together if len(good) - len(rows) >= self.together else 1
            rows += list(run(np.stack(good[len(rows) : len(rows) + size])))
        ended = time.monotonic()
        outcomes = _outcomes(pictures, crops, rows)
        return _computed(pictures, outcomes, ended - decoded, ended - started, is_typical=wide is None)


def _seconds(classifier: Classifier, pixels: Pixels) -> float:
    started = time.monotonic()
    classifier.classify(pixels)
    return time.monotonic() - started


class GpuCompute:
    """Pictures -> probabilities on a device that computes one batch at a time.

    May be called by two threads: while the device computes for the one, the other lays out the next batch.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._device = threading.Lock()

    def __call__(self, pictures: Sequence[Picture], is_alone: bool) -> Computed:
        started = time.monotonic()
        crops = [picture.decode() for picture in pictures]
        good = [crop for crop in crops if not isinstance(crop, Exception)]
        pixels = np.stack(good) if good else None
        laid_out_s = time.monotonic() - started
        run = _run_for(pictures, self._classifier)
        with self._device:
            computing = time.monotonic()
            rows = run(pixels) if pixels is not None else ()
            compute_s = time.monotonic() - computing
        outcomes = _outcomes(pictures, crops, rows)
        return _computed(pictures, outcomes, compute_s, laid_out_s + compute_s)


def _run_for(pictures: Sequence[Picture], classifier: Classifier) -> Callable[[Pixels], Probabilities]:
    """The model, with the logits of all of them where those of one are wanted."""
    if any(picture.wants_logits for picture in pictures):
        return classifier.classify_with_logits
    return classifier.classify


def _outcomes(
    pictures: Sequence[Picture], crops: Sequence[Pixels | Exception], rows: Iterable[Probabilities]
) -> list[Probabilities | Exception]:
    """What is wrong with an image, or its row as it was wanted: [classes], with logits [2, classes]."""
    remaining = iter(rows)
    outcomes: list[Probabilities | Exception] = []
    for picture, crop in zip(pictures, crops, strict=True):
        if isinstance(crop, Exception):
            outcomes.append(crop)
        else:
            row = next(remaining)
            outcomes.append(row if picture.wants_logits or row.ndim == 1 else row[0])
    return outcomes


def _computed(
    pictures: Sequence[Picture],
    outcomes: Sequence[Probabilities | Exception],
    compute_s: float,
    seconds: float,
    *,
    is_typical: bool = True,
) -> Computed:
    all_good = not any(isinstance(outcome, Exception) for outcome in outcomes)
    decode_s = [picture.decode_s for picture in pictures]
    return Computed(outcomes, decode_s, compute_s, seconds, is_typical and all_good)
