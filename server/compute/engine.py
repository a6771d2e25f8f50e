"""A model made ready to serve: its workers are checked and warm, and what a batch takes is known."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from fovea.cpus import available_cpus
from fovea.errors import Unavailable
from fovea.model.bundle import ModelBundle, Precision
from fovea.model.classifier import CPU, CUDA, Classifier, SessionOptions
from fovea.model.sessions import ort
from server.background import in_background
from server.compute.arenas import own_descriptors
from server.compute.backend import Decoder, GpuBackend, WorkItem
from server.compute.pool import Pool
from server.compute.precision import choose_precision
from server.compute.private_folder import PrivateFolder, remove_abandoned
from server.compute.process_worker import ProcessWorker
from server.compute.start_up import ProcessReady, ProcessSettings
from server.compute.template import TEMPLATE
from server.compute.warm_up import batch_sizes, warm_up
from server.config import ServeSettings
from server.queue.batch_policy import BatchLimits, CostModel
from server.queue.worker import Others, ThreadWorker, Worker

logger = logging.getLogger(__name__)

CPU_BATCH_S: Final = 0.016
"""On a CPU a batch saves little but the handing over, which is nothing beside this long."""

CPU_MAX_BATCH_SIZE: Final = 16
GPU_MAX_BATCH_SIZE: Final = 64

BATCHES_A_CORE: Final = 2
"""That a model hands to processes which it shares with others: one may be in hand."""


@dataclass(frozen=True)
class Engine:
    """What computes a model, how it is to be used, and what it takes."""

    bundle: ModelBundle
    provider: str
    """onnxruntime's name of the execution provider."""
    precision: Precision
    workers: Sequence[Worker[WorkItem]]
    """The first is for lone images."""
    limits: BatchLimits
    costs: CostModel
    decode_ahead: bool
    """Images are decoded by threads beside the event loop, ahead of a device that shall not wait for them."""
    folder: PrivateFolder | None = None
    """What the workers share, also those that are started again."""
    others: Others | None = None
    """With whom it shares the workers."""


@dataclass(frozen=True)
class Shared:
    """What the models of a server have together, where there are several."""

    pool: Pool
    device: threading.Lock = field(default_factory=threading.Lock)
    """A GPU's."""


def shared_engine(settings: ServeSettings) -> Shared:
    return Shared(Pool(_cores(settings), CPU_BATCH_S, settings.model_memory_bytes))


async def open_engine(
    bundle: ModelBundle,
    settings: ServeSettings,
    shared: Shared | None = None,
    device: "threading.Lock | None" = None,
    *,
    is_spare: bool = False,
) -> Engine:
    """Takes seconds. `shared` is of a server of several models, `device` a GPU's of several versions.

    Its processes compute only where nothing else would, if it `is_spare`, which none is that is shared.
    Raises BundleInvalid, or Unavailable for a provider that does not come up.
    """
    open_on_cpu = partial(_open_in, shared.pool) if shared else partial(_open_on_cpu, is_spare)
    if settings.provider == "cpu" or (
        settings.provider == "auto" and CUDA not in ort.get_available_providers()
    ):
        return await open_on_cpu(bundle, settings)
    held = shared.device if shared else device or threading.Lock()
    try:
        engine = await in_background(lambda: _open_on_gpu(bundle, settings, held))
    except Unavailable as error:
        if settings.provider != "auto":
            raise
        logger.warning("%s; provider auto takes the CPU", error)
        return await open_on_cpu(bundle, settings)
    TEMPLATE.end()
    return engine


async def _open_in(pool: Pool, bundle: ModelBundle, settings: ServeSettings) -> Engine:
    """In the processes that compute the other models too.

    One of its own measures it first and writes what they map: they have other models' calls to answer, and a
    model that crashes its runtime crashes nobody else's.
    """
    cores = len(pool.seats)
    await in_background(remove_abandoned)
    folder = _private_folder()
    first_settings = _process_settings(bundle, settings, cores, folder)
    first = ProcessWorker(first_settings)
    try:
        try:
            ready = await first.open()
        finally:
            await first.end()
        mapped_bytes = folder.size_bytes() if folder else 0
        slot = await pool.add(first_settings.measured(ready), mapped_bytes)
    except BaseException:
        if folder is not None:
            folder.remove()
        raise
    shares = slot.shares(BATCHES_A_CORE * cores)
    engine = _cpu_engine(bundle, settings, first_settings, ready, shares, folder)
    return replace(engine, others=pool.contention(slot))


async def _open_on_cpu(is_spare: bool, bundle: ModelBundle, settings: ServeSettings) -> Engine:
    """A process for each core: none shares an interpreter lock with another, or with the event loop."""
    cores = _cores(settings)
    await in_background(remove_abandoned)
    folder = _private_folder()
    first_settings = _process_settings(bundle, settings, cores, folder)
    if is_spare:  # an image that takes all cores would take those of others
        first_settings = replace(first_settings, is_spare=True, wide_threads=1)
    workers = [ProcessWorker(first_settings)]
    try:
        # Alone at first: a bad model is found once, and nothing disturbs its clock.
        ready = await workers[0].open()
        logger.debug("the first compute process is ready")
        others = replace(first_settings.measured(ready), wide_threads=1)
        workers += [ProcessWorker(others) for _ in range(cores - 1)]
        await asyncio.gather(*(worker.open() for worker in workers[1:]))
    except BaseException:
        try:
            await asyncio.gather(*(worker.end() for worker in workers))
        finally:
            if folder is not None:
                folder.remove()
        raise
    return _cpu_engine(bundle, settings, first_settings, ready, workers, folder)


def _cpu_engine(
    bundle: ModelBundle,
    settings: ServeSettings,
    first: ProcessSettings,
    ready: ProcessReady,
    workers: Sequence[Worker[WorkItem]],
    folder: PrivateFolder | None,
) -> Engine:
    """`ready` is what the first process said."""
    costs = CostModel(ready.warm_up.batches, ready.warm_up.least_s)
    limits = BatchLimits(
        first.max_batch_size,
        concurrency=_cores(settings),
        target_batch_s=CPU_BATCH_S,
        min_efficient_batch=ready.run_images,
        max_queue_delay_s=_delay_s(settings),
    )
    return Engine(bundle, CPU, ready.precision, workers, limits, costs, decode_ahead=False, folder=folder)


def _process_settings(
    bundle: ModelBundle, settings: ServeSettings, cores: int, folder: PrivateFolder | None
) -> ProcessSettings:
    return ProcessSettings(
        bundle=str(bundle.path),
        digest=bundle.digest,
        precision=settings.precision,
        model_cache=str(settings.model_cache or ""),
        wide_threads=cores,
        max_batch_size=settings.max_batch_size or CPU_MAX_BATCH_SIZE,
        target_batch_s=CPU_BATCH_S,
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        log_level=settings.log_level,
        log_format=settings.log_format,
        shared_weights=str(folder.path) if folder else "",
        descriptors=own_descriptors(),
    )


def _private_folder() -> PrivateFolder | None:
    """Takes no time; in another thread it could outlive whoever gives up waiting for it."""
    try:
        return PrivateFolder()
    except Unavailable as error:
        logger.warning("each process keeps the model's weights for itself: %s", error)
        return None


def _open_on_gpu(bundle: ModelBundle, settings: ServeSettings, device: threading.Lock) -> Engine:
    """Two threads: while the device computes for the one, the other lays out the next batch.

    `device` is held by whoever computes on it.
    """
    size = settings.max_batch_size or GPU_MAX_BATCH_SIZE
    options = SessionOptions(gpu_memory_bytes=settings.gpu_memory_bytes)
    precision = choose_precision(bundle, "cuda", settings.precision, settings.model_cache, options)
    classifier = Classifier(
        bundle, "cuda", precision=precision, options=options, batch_sizes=batch_sizes(size)
    )
    backend = GpuBackend(classifier, Decoder(bundle.contract.preprocess), device, bundle.known_classes())
    warmed_up = warm_up(backend, bundle, size)
    limits = BatchLimits(size, max_queue_delay_s=_delay_s(settings))
    workers = [ThreadWorker(backend, f"compute-{number}") for number in range(2)]
    costs = CostModel(warmed_up.batches, warmed_up.least_s)
    return Engine(bundle, classifier.provider, precision, workers, limits, costs, decode_ahead=True)


def _cores(settings: ServeSettings) -> int:
    return settings.threads or available_cpus()


def _delay_s(settings: ServeSettings) -> float:
    return settings.max_queue_delay_ms / 1000
