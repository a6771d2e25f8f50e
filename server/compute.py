"""What a worker does with a batch: decode what is not decoded yet, run the model, keep bad images apart."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from fovea.classifier import Classifier, Probabilities
from fovea.preprocess import Pixels
from server.worker import Computed


class Picture:
    """One image on its way to the model: encoded, or decoded already by whoever had time to."""

    __slots__ = ("_decode", "_outcome", "decode_s")

    def __init__(self, decode: Callable[[], Pixels]) -> None:
        """`decode` gives the crop, uint8 [S, S, 3], or raises what is wrong with the image."""
        self._decode: Callable[[], Pixels] | None = decode
        self._outcome: Pixels | Exception
        self.decode_s = 0.0

    def decode(self) -> Pixels | Exception:
        """The crop, decoded at the first call, or what is wrong with the image."""
        if self._decode is not None:
            started = time.monotonic()
            try:
                self._outcome = self._decode()
            except Exception as error:  # whoever asked for this image hears of it, and nobody else
                self._outcome = error
            self._decode = None  # and the encoded bytes with it
            self.decode_s = time.monotonic() - started
        return self._outcome


class ModelCompute:
    """Pictures -> probabilities.

    On a CPU there is one for each core, with a single-threaded session: nothing is handed from thread to
    thread between an image's bytes and its answer. An image that has the server for itself takes all cores,
    for which the first of them has another session.

    On a GPU one batch is computed at a time; a second worker lays out the next one meanwhile.
    """

    def __init__(
        self, classifier: Classifier, wide: Classifier | None = None, *, one_at_a_time: bool = False
    ) -> None:
        """`wide` is the same model on all cores."""
        self._classifier = classifier
        self._wide = wide
        self._device: AbstractContextManager[object] = threading.Lock() if one_at_a_time else nullcontext()

    def __call__(self, pictures: Sequence[Picture], is_alone: bool) -> Computed:
        started = time.monotonic()
        crops = [picture.decode() for picture in pictures]
        good = [crop for crop in crops if not isinstance(crop, Exception)]
        pixels = _stacked(good) if good else None
        decoded = time.monotonic()
        wide = self._wide if is_alone else None
        with self._device:
            computing = time.monotonic()
            rows = iter((wide or self._classifier).classify(pixels) if pixels is not None else ())
            ended = time.monotonic()
        outcomes: list[Probabilities | Exception] = [
            crop if isinstance(crop, Exception) else next(rows) for crop in crops
        ]
        return Computed(
            outcomes,
            [picture.decode_s for picture in pictures],
            compute_s=ended - computing,
            seconds=ended - computing + decoded - started,
            is_typical=wide is None and len(good) == len(crops),
        )


def _stacked(crops: Sequence[Pixels]) -> Pixels:
    """uint8 [n, S, S, 3]; a single crop is not copied."""
    return crops[0][np.newaxis] if len(crops) == 1 else np.stack(crops)
