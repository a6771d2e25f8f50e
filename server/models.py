"""The models that are loaded, each with its queue: encoded bytes in, probabilities out."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fovea.bundle import BundleContract, ModelBundle
from fovea.classifier import Classifier, Probabilities
from fovea.cpus import available_cpus
from fovea.preprocess import Pixels, decode_image
from server.batching import Batcher
from server.config import ServeSettings
from server.errors import DeadlinePassed, NoModelReady, VersionNotLoaded
from server.metrics import Metrics


@dataclass(frozen=True)
class Classified:
    """One image's answer, and what it took."""

    probabilities: npt.NDArray[np.float32]
    """[classes]"""
    abstained: bool
    """The best probability is below the model's threshold."""
    batch_size: int
    decode_s: float
    queue_s: float
    compute_s: float


class ServedModel:
    """A warmed model with the queue before it and the threads that decode for it."""

    def __init__(self, classifier: Classifier, settings: ServeSettings, metrics: Metrics) -> None:
        """Is called in the event loop that will serve it."""
        self._classifier = classifier
        self._settings = settings
        self._metrics = metrics
        self._decoders = ThreadPoolExecutor(settings.decode_threads or available_cpus(), "decode")
        self.batcher = Batcher(
            self._compute,
            self.contract.preprocess.size,
            batch_limit(settings, classifier),
            settings.max_queue_delay_ms / 1000,
        )

    @property
    def contract(self) -> BundleContract:
        return self._classifier.bundle.contract

    @property
    def bundle(self) -> ModelBundle:
        return self._classifier.bundle

    @property
    def provider(self) -> str:
        return self._classifier.provider

    async def classify(self, image: bytes, deadline: float | None) -> Classified:
        """`deadline` is on `time.monotonic`'s clock. Raises InvalidImage, DeadlinePassed, ComputeFailed."""
        loop = asyncio.get_running_loop()
        crop, decode_s = await loop.run_in_executor(self._decoders, self._decode, image, deadline)
        answer = await self.batcher.classify(crop, deadline)
        best = int(answer.probabilities.argmax())
        confidence = float(answer.probabilities[best])
        abstained = confidence < self.contract.abstain_threshold
        self._metrics.queue_seconds.observe(answer.queue_s)
        self._metrics.show_prediction(self.contract.labels[best], confidence, abstained)
        return Classified(
            answer.probabilities, abstained, answer.batch_size, decode_s, answer.queue_s, answer.compute_s
        )

    async def close(self) -> None:
        await self.batcher.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)

    def _decode(self, image: bytes, deadline: float | None) -> tuple[Pixels, float]:
        started = time.monotonic()
        if deadline is not None and started >= deadline:
            raise DeadlinePassed("the deadline passed before the image was decoded")
        crop = decode_image(
            image,
            self.contract.preprocess,
            max_bytes=self._settings.max_image_bytes,
            max_pixels=self._settings.max_image_pixels,
        )
        decode_s = time.monotonic() - started
        self._metrics.decode_seconds.observe(decode_s)
        return crop, decode_s

    def _compute(self, pixels: Pixels) -> Probabilities:
        self._metrics.batch_images.observe(len(pixels))
        with self._metrics.compute_seconds.time():
            return self._classifier.classify(pixels)


class LoadedModels:
    """The versions that can be asked for: none while the first one loads, then the current one."""

    def __init__(self) -> None:
        self.current: ServedModel | None = None

    def choose(self, version: int) -> ServedModel:
        """The model to answer with; version 0 is the current one. Raises NoModelReady, VersionNotLoaded."""
        if self.current is None:
            raise NoModelReady("no model is ready yet")
        loaded = self.current.contract.version
        if version not in (0, loaded):
            raise VersionNotLoaded(f"version {version} is not loaded (loaded: {loaded})")
        return self.current


def batch_limit(settings: ServeSettings, classifier: Classifier) -> int:
    """A CPU gains nothing from large batches, and whoever shares one waits for all of it."""
    by_default = 4 if classifier.provider == "CPUExecutionProvider" else 64
    return settings.max_batch_size or by_default


def warm_up_sizes(limit: int) -> list[int]:
    """1, 2, 4, ... and the limit itself."""
    return sorted({min(2**power, limit) for power in range(limit.bit_length() + 1)})
