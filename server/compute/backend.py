"""What becomes of a batch: what is not decoded yet is, the model runs, bad images are kept apart."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fovea.errors import ImageInvalid
from fovea.images.preprocess import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, Pixels, decode_image
from fovea.images.spec import PreprocessSpec
from fovea.model.classifier import Classifier
from fovea.truth.known_classes import KnownClasses
from server.compute.arenas import Place
from server.compute.wants import Answered, DetailedModel, Row
from server.queue.worker import Computed


class WorkItem:
    """One image on its way to the model, and what is wanted of it."""

    __slots__ = ("_outcome", "came", "content", "decode_s", "is_crop", "is_more", "place", "wants")

    def __init__(
        self,
        content: bytes | memoryview,
        is_crop: bool = False,
        wants: int = 0,
        place: Place | None = None,
        is_more: bool = False,
    ) -> None:
        """`content` is an encoded image, or the uint8 pixels of a crop [S, S, 3], row by row.

        `wants` are flags, see `wants`. With a `place` it lies in memory that compute processes can read too.
        One `is_more` is not the first of its call.
        """
        self.place = place
        self.content = content
        self.came: bytes | memoryview | None = None
        """The content, of one that is of use when it is answered: it is given up when it is decoded."""
        self.is_crop = is_crop
        self.is_more = is_more
        self.wants = wants
        self.decode_s = 0.0
        self._outcome: Pixels | Exception | None = None

    def __len__(self) -> int:
        """Bytes of the content."""
        return len(self.content)

    def decode(self, decode: "Decode") -> Pixels | Exception:
        """The crop, made at the first call, or what is wrong with the image."""
        if self._outcome is None:
            started = time.monotonic()
            self._outcome = _crop_or_error(self, decode)
            self.decode_s = 0.0 if self.is_crop else time.monotonic() - started
            self.content = b""  # the encoded bytes are not to be kept any longer
        return self._outcome


Decode = Callable[[WorkItem], Pixels]
"""Gives the crop, uint8 [S, S, 3], or raises what is wrong with the image."""


@dataclass(frozen=True)
class Decoder:
    """Decodes as the model's contract says, within limits."""

    spec: PreprocessSpec
    max_bytes: int = MAX_IMAGE_BYTES
    max_pixels: int = MAX_IMAGE_PIXELS

    def __call__(self, item: WorkItem) -> Pixels:
        if item.is_crop:
            return np.frombuffer(item.content, np.uint8).reshape(self.spec.size, self.spec.size, 3)
        return decode_image(
            bytes(item.content), self.spec, max_bytes=self.max_bytes, max_pixels=self.max_pixels
        )


class CpuBackend:
    """Images -> probabilities on a CPU, in the thread that calls.

    There is one for each core, with a single-threaded session: nothing is handed from thread to thread
    between an image's bytes and its answer. An image that has the server for itself takes all cores, by
    another session. The model runs on few images at a time, for onnxruntime keeps the memory of each size.
    """

    def __init__(
        self,
        classifier: Classifier,
        decode: Decode,
        wide: Classifier | None = None,
        known_classes: KnownClasses | None = None,
    ) -> None:
        """`wide` is the same model on all cores, `known_classes` are its bundle's."""
        self._model = DetailedModel(classifier, known_classes)
        self.decode = decode
        self._wide = DetailedModel(wide, known_classes) if wide else None
        self.run_images = 1
        """How many images the model runs on at a time: 1, 2, 4, ..."""

    def __call__(self, items: Sequence[WorkItem], is_alone: bool) -> Computed:
        wide = self._wide if is_alone else None
        started = time.monotonic()
        crops = [item.decode(self.decode) for item in items]
        good = [crop for crop in crops if not isinstance(crop, Exception)]
        wants = _wants(items, crops)
        decoded = time.monotonic()
        model = wide or self._model
        rows: list[Row] = []
        while (done := len(rows)) < len(good):
            # Of other sizes than these the memory would be kept as well.
            size = min(self.run_images, 2 ** ((len(good) - done).bit_length() - 1))
            pixels, wanted = np.stack(good[done : done + size]), wants[done : done + size]
            rows.extend(_rows(model, _answers(model, pixels, wanted), pixels, wanted))
        ended = time.monotonic()
        outcomes = _outcomes(crops, rows)
        return _computed(items, outcomes, ended - decoded, ended - started, is_typical=wide is None)


class GpuBackend:
    """Images -> probabilities on a device that computes one batch at a time.

    May be called by two threads: while the device computes for the one, the other lays out the next batch.
    """

    def __init__(
        self,
        classifier: Classifier,
        decode: Decode,
        device: "threading.Lock | None" = None,
        known_classes: KnownClasses | None = None,
    ) -> None:
        """`decode` is for images that nobody had time to decode, `device` is held to compute."""
        self._model = DetailedModel(classifier, known_classes)
        self._decode = decode
        self._device = device or threading.Lock()

    def __call__(self, items: Sequence[WorkItem], is_alone: bool) -> Computed:
        started = time.monotonic()
        crops = [item.decode(self._decode) for item in items]
        good = [crop for crop in crops if not isinstance(crop, Exception)]
        pixels = np.stack(good) if good else None
        wants = _wants(items, crops)
        laid_out_s = time.monotonic() - started
        with self._device:
            computing = time.monotonic()
            answers = _answers(self._model, pixels, wants) if pixels is not None else {}
            compute_s = time.monotonic() - computing
        rows = _rows(self._model, answers, pixels, wants) if pixels is not None else ()
        outcomes = _outcomes(crops, rows)
        return _computed(items, outcomes, compute_s, laid_out_s + compute_s)


def _crop_or_error(item: WorkItem, decode: Decode) -> Pixels | Exception:
    try:
        return decode(item)
    except ImageInvalid as error:
        # Without its traceback, in whose frames the image would live on until the next collection.
        return ImageInvalid(error.reason, str(error))
    except Exception as error:  # whoever asked for this image hears of it, and nobody else
        return error


def _wants(items: Sequence[WorkItem], crops: Sequence[Pixels | Exception]) -> list[int]:
    """Of the images that can be computed."""
    return [item.wants for item, crop in zip(items, crops, strict=True) if not isinstance(crop, Exception)]


def _answers(model: DetailedModel, pixels: Pixels, wants: Sequence[int]) -> Answered:
    """Most images want their probabilities alone."""
    return (
        model.answers(pixels, wants) if any(wants) else {"probabilities": model.classifier.classify(pixels)}
    )


def _rows(model: DetailedModel, answers: Answered, pixels: Pixels, wants: Sequence[int]) -> Iterable[Row]:
    return model.rows(answers, pixels, wants) if any(wants) else answers["probabilities"]


def _outcomes(crops: Sequence[Pixels | Exception], rows: Iterable[Row]) -> list[Row | Exception]:
    """What is wrong with an image, or its row."""
    remaining = iter(rows)
    return [crop if isinstance(crop, Exception) else next(remaining) for crop in crops]


def _computed(
    items: Sequence[WorkItem],
    outcomes: Sequence[Row | Exception],
    compute_s: float,
    seconds: float,
    *,
    is_typical: bool = True,
) -> Computed:
    all_good = not any(isinstance(outcome, Exception) for outcome in outcomes)
    decode_s = [item.decode_s for item in items]
    return Computed(outcomes, decode_s, compute_s, seconds, is_typical and all_good)
