"""Which of a bundle's precisions is served: the one asked for or, with `auto`, the best that is fast here."""

import hashlib
import json
import logging
import math
import platform
import time
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from fovea.cpus import processor_name
from fovea.errors import BundleInvalid, Unavailable
from fovea.model import versions
from fovea.model.bundle import ModelBundle, Precision
from fovea.model.classifier import CPU, Classifier, SessionOptions
from fovea.model.sessions import Provider, ort
from fovea.stores.storage import LocalFolder

logger = logging.getLogger(__name__)

MEASURE_S: Final = 0.5
"""How long each precision is run."""

GPU_BATCH: Final = 32

FROM_THE_BEST: Final[tuple[Precision, ...]] = ("fp32", "fp16", "int8-full", "int8")
AS_FAST: Final = 1.1
"""Within this of the fastest, the better answers are preferred: what two measurements differ by."""


def choose_precision(
    bundle: ModelBundle,
    provider: Provider,
    wanted: Precision | Literal["auto"],
    model_cache: Path | None,
    options: SessionOptions,
) -> Precision:
    """Measures with `auto`, or remembers what was measured with this model on this machine."""
    if wanted != "auto":
        return wanted
    released: list[Precision] = ["fp32", *bundle.contract.variants]
    if len(released) == 1:
        return "fp32"
    cache = LocalFolder((model_cache or versions.default_cache()) / "precisions")
    key = f"{_key(bundle, released, provider)}.json"
    if remembered := _remembered(cache, key, released):
        return remembered
    measured = [(name, _seconds_an_image(bundle, name, provider, options)) for name in released]
    seconds = {name: taken for name, taken in measured if taken is not None}
    chosen = next(
        name for name in FROM_THE_BEST if seconds.get(name, math.inf) <= AS_FAST * min(seconds.values())
    )
    milliseconds = {name: round(taken * 1000, 3) for name, taken in seconds.items()}
    logger.info("precision chosen", extra={"precision": chosen, "ms_an_image": milliseconds})
    _remember(cache, key, chosen, milliseconds)
    return chosen


def _seconds_an_image(
    bundle: ModelBundle, precision: Precision, provider: Provider, options: SessionOptions
) -> float | None:
    """Of the run that other work disturbed least; None for a precision that fails the golden check here."""
    try:
        classifier = Classifier(
            bundle, provider, precision=precision, options=options, batch_sizes=(GPU_BATCH,)
        )
    except BundleInvalid as error:
        if precision == "fp32":
            raise
        logger.warning("precision refused", extra={"precision": precision, "reason": str(error)})
        return None
    batch = 1 if classifier.provider == CPU else GPU_BATCH
    crops = bundle.golden().crops
    pixels = np.resize(crops, (batch, *crops.shape[1:]))
    classifier.classify(pixels)
    times: list[float] = []
    until = time.perf_counter() + MEASURE_S
    while time.perf_counter() < until or not times:
        started = time.perf_counter()
        classifier.classify(pixels)
        times.append((time.perf_counter() - started) / batch)
    return min(times)


def _key(bundle: ModelBundle, released: list[Precision], provider: Provider) -> str:
    """Changes with the models, the processor, the runtime and the provider."""
    models = [bundle.digest_of(precision) for precision in released]
    facts = [*models, provider, ort.__version__, ort.get_device(), platform.node(), processor_name()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def _remembered(cache: LocalFolder, key: str, released: list[Precision]) -> Precision | None:
    try:
        chosen = json.loads(cache.read(key))["precision"] if cache.exists(key) else None
    except (ValueError, KeyError, TypeError, Unavailable):  # not ours, or damaged: it is only measured again
        return None
    return next((name for name in get_args(Precision) if name == chosen and name in released), None)


def _remember(cache: LocalFolder, key: str, chosen: Precision, milliseconds: dict[Precision, float]) -> None:
    try:
        cache.write(key, json.dumps({"precision": chosen, "ms_an_image": milliseconds}).encode())
    except Unavailable as error:  # a read-only cache costs a measurement at each start
        logger.warning("the chosen precision is not remembered", extra={"reason": str(error)})
