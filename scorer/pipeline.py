"""The stages that an image goes through, each a bounded number of items and bytes ahead of the next."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fovea.classifier import Classifier, Provider, top_k
from fovea.errors import InvalidImage, ObjectChanged, ObjectMissing, Unavailable
from fovea.folder import Entry
from fovea.ordered import Bound, ordered_map
from fovea.preprocess import Pixels, decode_image
from scorer.plan import RunSpec
from scorer.rows import Answer, Failure, StageTime
from scorer.source import open_source
from scorer.stopwatch import Stopwatch

LOST_AFTER_READS: Final = 100
"""So many reads that fail in a row mean that the store is gone, not that so many images are bad."""


@dataclass(frozen=True)
class Resources:
    """How a shard is worked on; none of it changes a row."""

    batch_size: int
    provider: Provider
    threads: int
    decode_threads: int
    fetch_concurrency: int
    max_inflight_bytes: int
    model_cache: Path | None


_Fetched = tuple[Entry, bytes | Failure]
_Decoded = tuple[Entry, Pixels | Failure]


class Pipeline:
    """Fetches, decodes and classifies the `planned` images of one shard, and times each stage.

    Raises DataInvalid when the source is a local folder that is not there any more.
    """

    def __init__(self, run: RunSpec, resources: Resources, planned: int, classifier: Classifier) -> None:
        self._run, self._resources, self._planned = run, resources, planned
        self._classifier = classifier
        self._source = open_source(run.source, patient=True)
        self.fetch_time, self.decode_time = Stopwatch(), Stopwatch()
        self.compute_time, self.write_time = Stopwatch(), Stopwatch()

    @contextmanager
    def decoded(self, entries: Iterable[Entry]) -> Iterator[Iterator[_Decoded]]:
        """The crops in the order of the entries; leaving the context stops the threads.

        Raises Unavailable, as the crops are taken, when the store is gone.
        """
        has = self._resources
        half = has.max_inflight_bytes // 2
        fetch_ahead = Bound(has.fetch_concurrency + has.batch_size, half)
        decode_ahead = Bound(has.decode_threads + 2 * has.batch_size, half)
        fetch = ordered_map(self._fetch, entries, has.fetch_concurrency, fetch_ahead, self._size_to_fetch)
        with closing(fetch) as fetched:
            answered = self._checked(fetched)
            decode = ordered_map(self._decode, answered, has.decode_threads, decode_ahead, _size_to_decode)
            with closing(decode) as crops:
                yield crops

    def classify(self, crops: list[Pixels | Failure]) -> list[Answer | Failure]:
        """An answer for each crop, the failures as they came."""
        pixels = [crop for crop in crops if not isinstance(crop, Failure)]
        if not pixels:
            return [crop for crop in crops if isinstance(crop, Failure)]
        with self.compute_time.running():
            probabilities = self._classifier.classify(np.stack(pixels))
        best, confidence = top_k(probabilities, self._run.top_k)
        answers = map(self._answer, best.tolist(), confidence.tolist())
        return [crop if isinstance(crop, Failure) else next(answers) for crop in crops]

    def stage_times(self, elapsed_s: float) -> dict[str, StageTime]:
        has = self._resources
        return {
            "fetch": StageTime(self.fetch_time.busy_s, elapsed_s * has.fetch_concurrency),
            "decode": StageTime(self.decode_time.busy_s, elapsed_s * has.decode_threads),
            "compute": StageTime(self.compute_time.busy_s, elapsed_s),
            "write": StageTime(self.write_time.busy_s, elapsed_s),
        }

    def _size_to_fetch(self, entry: Entry) -> int:
        return entry.size if entry.size <= self._run.max_image_bytes else 0

    def _fetch(self, entry: Entry) -> _Fetched:
        if entry.size > self._run.max_image_bytes:
            limit = self._run.max_image_bytes
            return entry, Failure("too_large", f"the image has {entry.size} bytes, more than {limit}")
        with self.fetch_time.running():
            try:
                return entry, _whole(entry, self._source.read(entry.key, entry.etag))
            except ObjectMissing as error:
                return entry, Failure("gone", str(error))
            except ObjectChanged as error:
                return entry, Failure("changed", str(error))
            except Unavailable as error:
                return entry, Failure("unreadable", str(error))

    def _checked(self, fetched: Iterable[_Fetched]) -> Iterator[_Fetched]:
        """Raises Unavailable when it is the store that fails, and not a few of its objects."""
        failed_in_a_row = 0
        for entry, data in fetched:
            unreadable = isinstance(data, Failure) and data.status == "unreadable"
            failed_in_a_row = failed_in_a_row + 1 if unreadable else 0
            if isinstance(data, Failure) and failed_in_a_row >= min(LOST_AFTER_READS, self._planned):
                raise Unavailable(f"{failed_in_a_row} reads in a row failed, the last: {data.error}")
            yield entry, data

    def _decode(self, fetched: _Fetched) -> _Decoded:
        entry, data = fetched
        if isinstance(data, Failure):
            return entry, data
        with self.decode_time.running():
            try:
                return entry, self._crop(data)
            except InvalidImage as error:
                too_large = error.reason in {"too_many_bytes", "too_many_pixels"}
                return entry, Failure("too_large" if too_large else "undecodable", str(error))

    def _crop(self, data: bytes) -> Pixels:
        limits = {"max_bytes": self._run.max_image_bytes, "max_pixels": self._run.max_image_pixels}
        return decode_image(data, self._classifier.bundle.contract.preprocess, **limits)

    def _answer(self, best: list[int], confidence: list[float]) -> Answer:
        labels = tuple(self._classifier.labels[index] for index in best)
        threshold = self._classifier.bundle.contract.abstain_threshold
        return Answer(labels, tuple(confidence), confidence[0] < threshold)


def _whole(entry: Entry, data: bytes) -> bytes:
    """Raises ObjectChanged, or Unavailable when the store gave its object, but not all of it."""
    if len(data) == entry.size:
        return data
    if not entry.etag:
        raise ObjectChanged(f"{entry.key}: changed since it was listed")
    raise Unavailable(f"{entry.key}: the store gave {len(data)} bytes of {entry.size}")


def _size_to_decode(fetched: _Fetched) -> int:
    return len(fetched[1]) if isinstance(fetched[1], bytes) else 0
