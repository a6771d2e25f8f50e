"""Scores one shard: its images fetched, decoded, classified, and its rows put where they belong, once.

    manifest -> fetch (many at once) -> decode (threads) -> classify (batches) -> parquet -> put if absent

Each stage runs only a bounded number of items and bytes ahead of the next, so memory does not grow with
the shard. Rows keep the order of the keys.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from fovea import versions
from fovea.classifier import Classifier, Provider, top_k
from fovea.errors import BundleInvalid, InvalidImage, ObjectChanged, ObjectMissing, Unavailable
from fovea.folder import Entry
from fovea.preprocess import Pixels, decode_image
from fovea.storage import open_folder
from scorer import layout
from scorer.plan import PlannedShard, RunSpec, open_source, read_manifest
from scorer.rows import Answer, Failure, RowWriter, ShardCounts, StageTime, Status
from scorer.stages import Bound, Stopwatch, ordered_map

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


@dataclass(frozen=True)
class ShardSpec:
    """All that scoring a shard needs to know."""

    output: str
    run: RunSpec
    shard: PlannedShard
    resources: Resources


def score_shard(spec: ShardSpec, progress: Callable[[int], None] = lambda images: None) -> bool:
    """Scores the shard and puts its parquet file if it is absent: that put is the commit.

    True when it was this call that wrote it. `progress` hears of each batch's size.
    Raises Unavailable when a store is gone (single images that cannot be read become rows instead),
    BundleInvalid when the model is not the one that was planned. Then nothing is written.
    """
    classifier = load_classifier(spec.run, spec.resources)
    output = open_folder(spec.output)
    with tempfile.TemporaryDirectory(prefix="fovea-shard-") as folder:
        path = Path(folder) / "shard.parquet"
        _write_rows(spec, classifier, read_manifest(output, spec.shard), path, progress)
        run = output.folder(layout.run_folder(spec.run.run))
        return run.put_if_absent(layout.shard_file(spec.shard.index), path.read_bytes())


@lru_cache(maxsize=1)
def load_classifier(run: RunSpec, resources: Resources) -> Classifier:
    """The planned model, after its golden check; kept for the next shard. Raises BundleInvalid."""
    bundle = versions.fetch(run.models, run.model_version, resources.model_cache)
    if bundle.digest != run.model_digest:
        found = f"{bundle.digest[:12]}, not {run.model_digest[:12]}"
        raise BundleInvalid(f"{bundle.path}: not the model that was planned (its digest is {found})")
    return Classifier(bundle, resources.provider, resources.threads)


def _write_rows(
    spec: ShardSpec,
    classifier: Classifier,
    entries: Iterable[Entry],
    path: Path,
    progress: Callable[[int], None],
) -> None:
    started = time.perf_counter()
    pipeline = _Pipeline(spec, classifier)
    statuses: Counter[Status] = Counter()
    with RowWriter(path, _same_in_all(spec.run)) as writer, pipeline.decoded(entries) as images:
        while batch := list(islice(images, spec.resources.batch_size)):
            answers = pipeline.classify([crop for _, crop in batch])
            with pipeline.write_time.running():
                writer.write([entry for entry, _ in batch], answers, datetime.now(UTC))
            statuses.update(answer.status if isinstance(answer, Failure) else "ok" for answer in answers)
            progress(len(batch))
        elapsed_s = time.perf_counter() - started
        writer.write_footer(ShardCounts(dict(statuses), elapsed_s, pipeline.stage_times(elapsed_s)))


def _same_in_all(run: RunSpec) -> dict[str, object]:
    names = ("run", "model_name", "model_version", "model_digest", "preprocess_digest")
    return {name: getattr(run, name) for name in names}


_Fetched = tuple[Entry, bytes | Failure]
_Decoded = tuple[Entry, Pixels | Failure]


class _Pipeline:
    """The stages of one shard, and the time that each has taken."""

    def __init__(self, spec: ShardSpec, classifier: Classifier) -> None:
        self._run, self._resources, self._planned = spec.run, spec.resources, spec.shard.images
        self._classifier = classifier
        self._source = open_source(spec.run.source)
        self.fetch_time, self.decode_time = Stopwatch(), Stopwatch()
        self.compute_time, self.write_time = Stopwatch(), Stopwatch()

    @contextmanager
    def decoded(self, entries: Iterable[Entry]) -> Iterator[Iterator[_Decoded]]:
        """The images in the order of their keys; leaving the context stops the threads."""
        has = self._resources
        half = has.max_inflight_bytes // 2
        fetch_ahead = Bound(has.fetch_concurrency + has.batch_size, half)
        decode_ahead = Bound(has.decode_threads + 2 * has.batch_size, half)
        with (
            closing(
                ordered_map(self._fetch, entries, has.fetch_concurrency, fetch_ahead, self._size_to_fetch)
            ) as fetched,
            closing(
                ordered_map(
                    self._decode, self._checked(fetched), has.decode_threads, decode_ahead, _size_to_decode
                )
            ) as images,
        ):
            yield images

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
                return entry, self._source.read(entry.key, entry.etag)
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


def _size_to_decode(fetched: _Fetched) -> int:
    return len(fetched[1]) if isinstance(fetched[1], bytes) else 0
