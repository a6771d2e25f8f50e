"""The stages that an image goes through, each a bounded number of items and bytes ahead of the next."""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import numpy as np

from fovea.capture.reasons import margin_of, margin_of_labels
from fovea.cpus import available_cpus
from fovea.errors import ImageInvalid
from fovea.images.preprocess import Pixels, decode_image
from fovea.model.classifier import CPU, Classifier, Probabilities, Provider, top_k
from fovea.model.task import selected_labels
from fovea.ordered import Window, ordered_map
from fovea.stores.folder import Entry
from fovea.truth.known_classes import Embeddings
from fovea.truth.sets import draws, label_sets
from scorer.files.plan import RunSpec
from scorer.files.rows import Failure, Outcome, StageTime, TopLabels
from scorer.scoring.fetching import Fetched, Fetcher, unless_lost

CPU_BATCH: Final = 4
GPU_BATCH: Final = 64


@dataclass(frozen=True)
class Resources:
    """How a shard is worked on; none of it changes a row."""

    batch_size: int | None
    """By default, what suits the provider."""
    provider: Provider
    threads: int
    decode_threads: int
    fetch_concurrency: int
    max_inflight_bytes: int
    model_cache: Path | None


class Scored(NamedTuple):
    """A batch of images and what became of each."""

    entries: list[Entry]
    outcomes: list[Outcome]
    files: list[bytes | None]
    """Their contents, where files are kept; None of a failure."""


class _Decoded(NamedTuple):
    entries: list[Entry]
    failures: list[Failure | None]
    pixels: Pixels
    """uint8 [n, S, S, 3] of the n images without a failure."""
    files: list[bytes | None]


class Pipeline:
    """Fetches, decodes and classifies the `planned` images of one shard, and times each stage.

    Fetching has threads of its own. A thread that decodes takes a whole batch; on a CPU it classifies the
    batch as well: the cores are kept busy with the fewest hand-overs, and no core waits for another one
    within a batch. On a GPU, whoever takes the results classifies.
    Raises DataInvalid when the source is a local folder that is not there any more.
    """

    def __init__(
        self,
        run: RunSpec,
        resources: Resources,
        planned: int,
        classifier: Classifier,
        *,
        keeps_files: bool = False,
    ) -> None:
        self._keeps_files = keeps_files
        self._run, self._resources, self._planned = run, resources, planned
        self._classifier, self._contract = classifier, classifier.bundle.contract
        self._known_classes = classifier.bundle.known_classes() if run.distances else None
        self._on_cpu = classifier.provider == CPU
        self._batch_size = resources.batch_size or (CPU_BATCH if self._on_cpu else GPU_BATCH)
        self._fetcher = Fetcher(run)
        self._fetch_time, self._decode_time, self._compute_time = Stopwatch(), Stopwatch(), Stopwatch()
        self.write_time = Stopwatch()
        self._started_s, self._started_cpu_s = time.perf_counter(), time.process_time()

    @contextmanager
    def scored(self, entries: Iterable[Entry]) -> Iterator[Iterator[Scored]]:
        """Batches in the order of the entries; leaving the context stops the threads.

        Raises Unavailable, as the batches are taken, when the store is gone.
        """
        fetcher, at_once = self._fetcher, self._resources.fetch_concurrency
        max_bytes = self._resources.max_inflight_bytes
        fetch_ahead = Window(2 * at_once + self._batch_size, max_bytes // 2)
        fetch = ordered_map(self._fetch, entries, at_once, fetch_ahead, fetcher.size_bytes)
        with closing(fetch) as fetched:
            whole = unless_lost(fetched, self._planned, fetcher.ask_store)
            batches = _batches(whole, self._batch_size, max_bytes // 4)
            with closing(self._worked_on(batches)) as scored:
                yield scored

    def _worked_on(self, batches: Iterable[list[Fetched]]) -> Generator[Scored, None, None]:
        threads = self._resources.decode_threads
        most_bytes = self._resources.max_inflight_bytes // 4
        if self._on_cpu:
            # Answers are small; one batch that takes long is not to hold up the threads.
            return ordered_map(self._score, batches, threads, Window(4 * threads, most_bytes), _size_bytes)
        crops = ordered_map(self._decode, batches, threads, Window(threads + 2, most_bytes), _size_bytes)
        return self._classified(crops)

    def _classified(self, decoded: Generator[_Decoded, None, None]) -> Generator[Scored, None, None]:
        with closing(decoded) as batches:
            yield from map(self._classify, batches)

    def elapsed(self) -> tuple[float, dict[str, StageTime]]:
        """Seconds since the beginning, and how busy each stage and the cores were."""
        resources, elapsed_s = self._resources, time.perf_counter() - self._started_s
        cpu_s, cores_s = time.process_time() - self._started_cpu_s, elapsed_s * available_cpus()
        classifying = resources.decode_threads if self._on_cpu else 1
        return elapsed_s, {
            "fetch": StageTime(self._fetch_time.busy_s, elapsed_s * resources.fetch_concurrency),
            "decode": StageTime(self._decode_time.busy_s, elapsed_s * resources.decode_threads),
            "compute": StageTime(self._compute_time.busy_s, elapsed_s * classifying),
            "write": StageTime(self.write_time.busy_s, elapsed_s),
            "cpu": StageTime(min(cpu_s, cores_s), cores_s),
        }

    def _fetch(self, entry: Entry) -> Fetched:
        with self._fetch_time.running():
            return self._fetcher.fetch(entry)

    def _score(self, batch: list[Fetched]) -> Scored:
        return self._classify(self._decode(batch))

    def _decode(self, batch: list[Fetched]) -> _Decoded:
        side = self._classifier.bundle.contract.preprocess.size
        pixels = np.empty((len(batch), side, side, 3), np.uint8)
        failures: list[Failure | None] = []
        good = 0
        with self._decode_time.running():
            for _, data in batch:
                crop = data if isinstance(data, Failure) else self._crop(data)
                failures.append(crop if isinstance(crop, Failure) else None)
                if not isinstance(crop, Failure):
                    pixels[good] = crop
                    good += 1
        files = self._files(batch, failures)
        return _Decoded([entry for entry, _ in batch], failures, pixels[:good], files)

    def _files(self, batch: list[Fetched], failures: list[Failure | None]) -> list[bytes | None]:
        return [
            data if self._keeps_files and failure is None and isinstance(data, bytes) else None
            for (_, data), failure in zip(batch, failures, strict=True)
        ]

    def _crop(self, data: bytes) -> Pixels | Failure:
        limits = {"max_bytes": self._run.max_image_bytes, "max_pixels": self._run.max_image_pixels}
        try:
            return decode_image(data, self._classifier.bundle.contract.preprocess, **limits)
        except ImageInvalid as error:
            too_large = error.reason in {"too_many_bytes", "too_many_pixels"}
            return Failure("too_large" if too_large else "undecodable", str(error))

    def _classify(self, decoded: _Decoded) -> Scored:
        tops = self._top_labels(decoded.pixels) if len(decoded.pixels) else iter(())
        outcomes = [failure or next(tops) for failure in decoded.failures]
        return Scored(decoded.entries, outcomes, decoded.files)

    def _top_labels(self, pixels: Pixels) -> Iterator[TopLabels]:
        names = ["probabilities", *(["embedding"] if self._run.embeddings or self._run.distances else [])]
        with self._compute_time.running():
            probabilities, *embeddings = self._classifier.answers(pixels, names)
            distances = self._distances(embeddings)
        best, confidence = top_k(probabilities, self._run.top_k)
        sets = self._label_sets(pixels, probabilities)
        seen = embeddings[0] if self._run.embeddings else repeat(None)
        margins = map(self._margin, probabilities) if self._keeps_files else repeat(None)
        tops = map(self._top_of_one, best.tolist(), confidence.tolist(), sets, distances, seen, margins)
        return tops if self._contract.thresholds is None else self._selecting(tops, probabilities)

    def _selecting(self, tops: Iterator[TopLabels], probabilities: Probabilities) -> Iterator[TopLabels]:
        """Of a multi-label model, with those labels that each image has."""
        chosen = selected_labels(probabilities, self._contract.thresholds or ())
        for top, row, indexes in zip(tops, probabilities, chosen, strict=True):
            labels = tuple(self._contract.labels[index] for index in indexes)
            yield replace(top, selected=labels, selected_probabilities=tuple(row[indexes].tolist()))

    def _margin(self, probabilities: Probabilities) -> float:
        thresholds = self._contract.thresholds
        if thresholds is None:
            return margin_of(probabilities)
        return margin_of_labels(probabilities, np.array(thresholds, np.float32))

    def _distances(self, embeddings: list[Embeddings]) -> Iterable[float | None]:
        return self._known_classes.distances(*embeddings).tolist() if self._known_classes else repeat(None)

    def _label_sets(self, pixels: Pixels, probabilities: Probabilities) -> Iterable[tuple[str, ...] | None]:
        labels, quantile = self._classifier.labels, self._run.label_set_quantile
        if quantile is None:
            return repeat(None)
        places = label_sets(probabilities, draws(pixels), quantile)
        return (tuple(labels[place] for place in one) for one in places)

    def _top_of_one(
        self,
        best: list[int],
        confidence: list[float],
        label_set: tuple[str, ...] | None,
        distance: float | None,
        embedding: Embeddings | None,
        margin: float | None,
    ) -> TopLabels:
        contract = self._contract
        labels, novelty = tuple(contract.labels[index] for index in best), contract.out_of_distribution
        unknown = novelty.is_unknown(distance) if novelty and distance is not None else None
        abstained = confidence[0] < contract.abstain_threshold
        answer = labels, tuple(confidence), abstained, label_set, distance, unknown, embedding
        return TopLabels(*answer, margin)


def _batches(fetched: Iterable[Fetched], images: int, size_bytes: int) -> Iterator[list[Fetched]]:
    """Of so many images, or fewer if they have more bytes than that together."""
    batch: list[Fetched] = []
    for one in fetched:
        batch.append(one)
        if len(batch) == images or _size_bytes(batch) > size_bytes:
            yield batch
            batch = []
    if batch:
        yield batch


def _size_bytes(batch: list[Fetched]) -> int:
    return sum(len(data) for _, data in batch if isinstance(data, bytes))


class Stopwatch:
    """Adds up the time that a stage's workers work, from any number of threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.busy_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.busy_s += time.perf_counter() - started
