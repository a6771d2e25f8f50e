"""Running a model before callers do, so that none of them pays for a first time; and what it then takes."""

import math
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from fovea.images.preprocess import Pixels
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from server.compute.backend import CpuBackend, GpuBackend, WorkItem

RUN_SIZES: Final = (1, 2, 4)
TRIES: Final = 3
GAIN: Final = 0.97
"""A larger size is taken where it takes less than this of the time an image."""


@dataclass(frozen=True)
class WarmUp:
    """What was seen of a model as it was warmed up."""

    least_s: float
    """Of an image that has the machine for itself."""
    batches: tuple[tuple[int, float], ...]
    """(images, seconds) of each size."""


def warm_up(
    backend: CpuBackend | GpuBackend,
    bundle: ModelBundle,
    max_batch_size: int,
    target_batch_s: float = math.inf,
) -> WarmUp:
    """Runs 1, 2, 4, ... golden images twice, decoding included: the first run is not like the others.

    Sizes whose batches would take more than twice `target_batch_s` are left out.
    """
    _seconds(backend, bundle, 1, is_alone=True)
    least_s = _seconds(backend, bundle, 1, is_alone=True)
    batches: list[tuple[int, float]] = []
    for size in batch_sizes(max_batch_size):
        if batches and size > 2 and size * batches[-1][1] / batches[-1][0] > 2 * target_batch_s:
            break
        _seconds(backend, bundle, size, is_alone=False)
        batches.append((size, _seconds(backend, bundle, size, is_alone=False)))
    return WarmUp(least_s, tuple(batches))


def find_run_size(classifier: Classifier, crop: Pixels) -> int:
    """How many images a CPU's model is fastest on: a few gain a tenth on some processors."""
    best, best_s = 1, math.inf
    for size in RUN_SIZES:
        pixels = np.repeat(crop[np.newaxis], size, axis=0)
        seconds = min(_run_seconds(classifier, pixels) for _ in range(TRIES)) / size
        if seconds >= GAIN * best_s:
            break
        best, best_s = size, seconds
    classifier.classify(crop[np.newaxis], give_back=True)  # of sizes that are not run again
    return best


def batch_sizes(largest: int) -> list[int]:
    """1, 2, 4, ... and the largest itself."""
    return sorted({min(2**power, largest) for power in range(largest.bit_length() + 1)})


def _run_seconds(classifier: Classifier, pixels: Pixels) -> float:
    started = time.monotonic()
    classifier.classify(pixels)
    return time.monotonic() - started


def _seconds(backend: CpuBackend | GpuBackend, bundle: ModelBundle, images: int, *, is_alone: bool) -> float:
    files = bundle.golden().files
    return backend([WorkItem(files[index % len(files)]) for index in range(images)], is_alone).seconds
