"""A version that is served, with its queue and statistics, and which version answers a call."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from fovea.cpus import available_cpus
from fovea.model.bundle import BundleContract, Precision
from fovea.model.measured import CONFIDENCE_BINS
from fovea.v1 import classify_pb2 as pb
from server.background import in_background
from server.compute.backend import Decoder, WorkItem
from server.compute.decode_ahead import AheadDecoder
from server.compute.engine import Engine
from server.compute.wants import DISTANCE, details_of
from server.config import ServeSettings
from server.errors import ModelUnknown, NoModelReady, VersionNotLoaded
from server.models.afterwards import Afterwards
from server.models.captures import Captures
from server.models.distances import MeasuredDistances
from server.models.folders import named, shown
from server.models.model import NEVER, CallTallies, CallTimes, Classified, Key, Model, ModelFigures, Tally
from server.models.multi_label import selected_counts_of
from server.queue.batcher import Batcher
from server.queue.priorities import ItemResult, Priority
from server.rollout.measured import Measured
from server.rollout.shadow import Shadow
from server.rollout.split import Split
from server.telemetry.drift import KINDS, TENTHS, AccuracyGauge, drift_gauges
from server.telemetry.exemplars import EXEMPLAR
from server.telemetry.model_metrics import ModelMetrics

M = TypeVar("M", bound=Model)


class ServedModel:
    """A warmed model with the queue before it."""

    def __init__(
        self,
        engine: Engine,
        settings: ServeSettings,
        metrics: ModelMetrics,
        name: str = "",
        captures: Captures | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        """Is called in the event loop that will serve it. `name` is another than its contract's."""
        self.bundle = engine.bundle
        self.provider = engine.provider
        self.precision = engine.precision
        self.contract: BundleContract = named(engine.bundle.contract, name)
        self.identity = pb.ModelVersion(
            name=self.contract.name,
            version=self.contract.version,
            digest=self.bundle.digest_of(self.precision),
        )
        self._metrics = metrics
        self._folder = engine.folder
        self.statistics = ModelStatistics(metrics, self.contract, self.precision)
        classes, distances = (self.statistics.drifts[kind] for kind in ("classes", "distances"))
        self._distances = MeasuredDistances(self.contract, metrics, distances, settings.distance_sample)
        self._selected_counts = selected_counts_of(metrics, self.contract, classes)
        own_captures = captures.of_model(self.contract, self.identity, classes) if captures else None
        self._afterwards = Afterwards(self.contract, own_captures, shadow) if captures or shadow else None
        self.batcher: Batcher[WorkItem] = Batcher(
            engine.workers, engine.limits, engine.costs, self.statistics.count_batch, others=engine.others
        )
        self.on_workers_changed: Callable[[], None] = lambda: None
        self.batcher.on_workers_changed = lambda: self.on_workers_changed()
        self.measured: Measured | None = None
        """While it shares the calls with another version."""
        self._ahead: AheadDecoder | None = None
        if engine.decode_ahead:
            limits = (settings.max_image_bytes, settings.max_image_pixels)
            decoder = Decoder(self.contract.preprocess, *limits)
            self._ahead = AheadDecoder(decoder, settings.decode_threads or available_cpus())

    async def classify(
        self, item: WorkItem, deadline: float | None, priority: Priority = Priority.INTERACTIVE
    ) -> Classified:
        """`deadline` is on `time.monotonic`'s clock. Raises ImageInvalid, DeadlinePassed, ComputeFailed."""
        self.watch(item)
        try:
            if self._ahead is not None:
                await self.decode_ahead(item, deadline, priority)
            answer = await self.batcher.classify(item, deadline, priority)
        except Exception as error:
            self.failed(error, is_more=item.is_more)
            raise
        return self.counted(answer, item)

    def failed(self, error: BaseException, *, is_more: bool = False) -> None:
        """An image has no answer."""
        if self.measured is not None:
            self.measured.failed(error, is_more=is_more)

    def watch(self, item: WorkItem) -> None:
        """Of some images the distance is wanted for the metrics; any may be captured, or answered again."""
        if self._distances.is_sampled and self._distances.draw():
            item.wants |= DISTANCE
        if self._afterwards is not None:
            self._afterwards.remember(item)

    @property
    def decodes_ahead(self) -> bool:
        """Images are decoded before they are queued."""
        return self._ahead is not None

    async def decode_ahead(self, item: WorkItem, deadline: float | None, priority: Priority) -> None:
        """Where the model does. Raises what `classify` does."""
        if self._ahead is not None:
            self.batcher.check_deadline(deadline, priority)
            await self._ahead.decode(item, deadline)

    def counted(self, answer: ItemResult, item: WorkItem) -> Classified:
        """What the queue gave of an image, as its caller gets it."""
        details = details_of(answer.row, item.wants, len(self.contract.labels)) if item.wants else None
        probabilities = details.probabilities if details else answer.row
        confidence = float(probabilities[best := int(probabilities.argmax())])
        abstained = confidence < self.contract.abstain_threshold
        exemplar = EXEMPLAR.get()
        if answer.decode_s:
            self._metrics.decode_seconds.observe(answer.decode_s, exemplar)
        self._metrics.queue_seconds.observe(answer.queue_s, exemplar)
        chosen = self._selected_counts.count(probabilities) if self._selected_counts else None
        if chosen is None:
            self.statistics.count_prediction(best, confidence, abstained)
        if details and details.distance is not None:
            self._distances.count(details.distance)
        took = answer.decode_s, answer.queue_s, answer.compute_s
        classified = Classified(probabilities, best, abstained, answer.batch_size, *took, details)
        if self.measured is not None:
            self.measured.answered(best, abstained, answer.batch_size, *took, chosen, is_more=item.is_more)
        if self._afterwards is not None and item.came is not None:
            self._afterwards.answered(item, item.came, classified)
        return classified

    @property
    def has_workers(self) -> bool:
        return self.batcher.has_workers

    @property
    def queued(self) -> int:
        return self.batcher.queued

    def count_call(self, name: str, times: CallTimes) -> None:
        self.statistics.count_call(name, times)

    async def figures(self) -> ModelFigures:
        return self.statistics.figures()

    def retry_after_s(self) -> float:
        """When a full queue will have moved on noticeably."""
        return min(max(self.batcher.wait_s() / 4, 0.05), 10.0)

    async def close(self) -> None:
        await self.batcher.close()
        if self._folder is not None:
            await in_background(self._folder.remove)  # a disk may take a while to free it
        if self._ahead is not None:
            self._ahead.close()


class Choice(Generic[M]):
    """The versions of one model that a call may be for: none while the first one loads, then the current one.

    See `Models`. Lives in one event loop, in which a change is between two requests; it is `LoadedModels`'.
    """

    def __init__(self, folder: str = "") -> None:
        """`folder` is the name of the folder of versions."""
        self._folder = folder
        self.current: Loaded[M] | None = None
        self.second: Loaded[M] | None = None
        """Beside it, for who names it."""
        self.split: Split | None = None
        """Who else it is for; None: nobody."""

    @property
    def name(self) -> str:
        """The model's."""
        return self.current.model.contract.name if self.current else self._folder

    @property
    def names(self) -> tuple[str, ...]:
        """See `Models`."""
        return (self.name,)

    @property
    def live(self) -> Sequence[M]:
        """See `Models`."""
        return [self.current.model] if self.current else []

    def versions(self, name: str = "") -> tuple[int, ...]:
        """See `Models`."""
        return tuple(loaded.model.contract.version for loaded in (self.current, self.second) if loaded)

    def choose(self, version: int, name: str = "") -> M:
        """See `Models`."""
        return self._find(version, name).model

    def use(self, version: int, name: str = "", key: Key | None = None) -> AbstractContextManager[M]:
        """See `Models`."""
        return self._find(version, name, key)

    def _find(self, version: int, name: str, key: Key | None = None) -> "Loaded[M]":
        if name and name not in (self.name, self._folder):
            raise ModelUnknown(f"there is no model {shown(name)}; there is {self.name!r}")
        if self.current is None:
            raise NoModelReady("no model is ready yet")
        if version == 0 and self.split is not None and key is not None:
            return self._drawn(self.current, self.split, key())
        # Not the replaced one either: whether it has finished yet is chance, and it would never finish if
        # callers went on asking for it.
        if version in (0, self.current.model.contract.version):
            return self.current
        if self.second is not None and version == self.second.model.contract.version:
            return self.second
        loaded = ", ".join(map(str, self.versions()))
        raise VersionNotLoaded(f"version {version} is not loaded (loaded: {loaded})")

    def _drawn(self, current: "Loaded[M]", split: Split, key: str) -> "Loaded[M]":
        """Where the second one has lost all that compute, the current one answers in its place."""
        second = self.second
        return second if second is not None and second.model.has_workers and split.takes(key) else current


class Loaded(Generic[M]):
    """A model and the number of requests that use it, each in a block of its own."""

    def __init__(self, model: M) -> None:
        self.model = model
        self.unused = asyncio.Event()
        self.unused.set()
        self._uses = 0

    def __enter__(self) -> M:
        self._uses += 1
        self.unused.clear()
        return self.model

    def __exit__(self, *_: object) -> None:
        self._uses -= 1
        if not self._uses:
            self.unused.set()


class ModelStatistics:
    """What one version computed and predicted since it went live: for the metrics, and for OIP's statistics.

    Belongs to the event loop that serves.
    """

    def __init__(self, metrics: ModelMetrics, contract: BundleContract, precision: Precision) -> None:
        self.images = 0
        self.batches: dict[int, Tally] = {}
        """This and `images` as `ModelFigures` has them."""
        self.drifts = drift_gauges(contract, precision)
        """By KINDS."""
        self.accuracy = AccuracyGauge(contract.metrics_of(precision))
        self._calls: dict[str, CallTallies] = {}
        self._metrics = metrics
        # Looking a label up costs more than counting it; and a series has to be there before it is counted.
        self._by_class = [metrics.predictions.labels(label) for label in contract.labels]
        self._classes, self._confidences, self._abstentions, _ = (self.drifts[kind].counts for kind in KINDS)

    def count_call(self, name: str, times: CallTimes) -> None:
        """`name` is one of the model's."""
        self._calls.setdefault(name, CallTallies()).add(times)

    def figures(self) -> ModelFigures:
        return ModelFigures(self.images, self.batches, self._calls)

    def count_batch(self, images: int, compute_s: float) -> None:
        self.images += images
        before = self.batches.get(images, NEVER)
        self.batches[images] = Tally(before.count + 1, before.seconds + compute_s)
        self._metrics.batch_images.observe(images)
        self._metrics.compute_seconds.observe(compute_s)

    def count_prediction(self, best: int, confidence: float, abstained: bool) -> None:
        """`best`: the index of the best class; `confidence`: its probability."""
        self._by_class[best].inc()
        self._classes[best] += 1
        self._confidences[_part(confidence, TENTHS)] += 1
        if confidence >= 0:  # it may be no number
            answers, place = self.accuracy, _part(confidence, CONFIDENCE_BINS)
            answers.images[place] += 1
            answers.confidence[place] += confidence
        self._abstentions[0 if abstained else 1] += 1
        self._metrics.confidence.observe(confidence)
        if abstained:
            self._metrics.abstained.inc()


def _part(confidence: float, parts: int) -> int:
    return min(int(confidence * parts), parts - 1) if confidence >= 0 else 0  # also where it is no number
