"""A model that is served, with its queue: images in, probabilities out."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fovea.cpus import available_cpus
from fovea.model.bundle import BundleContract, ModelBundle
from fovea.v1 import classify_pb2 as pb
from server.compute.backend import Decoder, WorkItem
from server.compute.decode_ahead import AheadDecoder
from server.compute.engine import Engine, open_engine
from server.config import ServeSettings
from server.queue.batcher import Batcher
from server.queue.priorities import Priority
from server.telemetry.metrics import Metrics
from server.telemetry.statistics import ModelStatistics


class Classified(NamedTuple):
    """One image's answer, and what it took."""

    probabilities: npt.NDArray[np.float32]
    """[classes]"""
    best: int
    """Index of the most probable class."""
    abstained: bool
    """The best probability is below the model's threshold."""
    batch_size: int
    decode_s: float
    queue_s: float
    compute_s: float
    logits: npt.NDArray[np.float32] | None = None
    """[classes], where they were wanted"""


async def open_model(bundle: ModelBundle, settings: ServeSettings, metrics: Metrics) -> "ServedModel":
    """Checks and warms the model beside the event loop. Raises BundleInvalid, Unavailable."""
    return ServedModel(await open_engine(bundle, settings), settings, metrics)


class ServedModel:
    """A warmed model with the queue before it."""

    def __init__(self, engine: Engine, settings: ServeSettings, metrics: Metrics) -> None:
        """Is called in the event loop that will serve it."""
        self.bundle = engine.bundle
        self.provider = engine.provider
        self.precision = engine.precision
        self.contract: BundleContract = engine.bundle.contract
        self.identity = pb.ModelVersion(
            name=self.contract.name,
            version=self.contract.version,
            digest=self.bundle.digest_of(self.precision),
        )
        """As every answer repeats it; `digest` is the sha256 of the ONNX file that is served."""
        self._metrics = metrics
        self.statistics = ModelStatistics(metrics, self.contract, self.precision)
        self.batcher: Batcher[WorkItem] = Batcher(
            engine.workers, engine.limits, engine.costs, self.statistics.count_batch
        )
        self._ahead: AheadDecoder | None = None
        if engine.decode_ahead:
            limits = (settings.max_image_bytes, settings.max_image_pixels)
            decoder = Decoder(self.contract.preprocess, *limits)
            self._ahead = AheadDecoder(decoder, settings.decode_threads or available_cpus())

    async def classify(
        self, item: WorkItem, deadline: float | None, priority: Priority = Priority.INTERACTIVE
    ) -> Classified:
        """`deadline` is on `time.monotonic`'s clock. Raises ImageInvalid, DeadlinePassed, ComputeFailed."""
        if self._ahead is not None:
            self.batcher.check_deadline(deadline, priority)
            await self._ahead.decode(item, deadline)
        answer = await self.batcher.classify(item, deadline, priority)
        rows = answer.probabilities
        probabilities, logits = (rows, None) if rows.ndim == 1 else rows
        best = int(probabilities.argmax())
        confidence = float(probabilities[best])
        abstained = confidence < self.contract.abstain_threshold
        if answer.decode_s:
            self._metrics.decode_seconds.observe(answer.decode_s)
        self._metrics.queue_seconds.observe(answer.queue_s)
        self.statistics.count_prediction(best, confidence, abstained)
        return Classified(
            probabilities,
            best,
            abstained,
            answer.batch_size,
            answer.decode_s,
            answer.queue_s,
            answer.compute_s,
            logits,
        )

    def retry_after_s(self) -> float:
        """When a full queue will have moved on noticeably."""
        return min(max(self.batcher.wait_s() / 4, 0.05), 10.0)

    async def close(self) -> None:
        await self.batcher.close()
        if self._ahead is not None:
            self._ahead.close()
