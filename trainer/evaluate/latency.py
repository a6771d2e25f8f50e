"""How fast a released model answers on the machine that released it."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from fovea.cpus import processor_name
from fovea.images.preprocess import Pixels
from fovea.model.classifier import Classifier
from fovea.model.sessions import ort

BATCH_SIZE: Final = 32
SINGLES, BATCHES = 40, 8
FEWEST: Final = 3
PATIENCE_S: Final = 3.0
"""A slow model is measured for about this long as single images, and for as long as batches."""


@dataclass(frozen=True)
class Latency:
    """Of the model alone: images are decoded already, and nothing is sent."""

    single_ms: float
    """the median over images that come alone"""
    images_per_s: float
    """the median over batches"""
    batch_size: int


def measure_latency(classifier: Classifier, crops: Pixels) -> Latency:
    """crops uint8 [n, S, S, 3], n >= 1, taken in turn. The classifier has answered before: it is warm."""
    batch = np.resize(crops, (BATCH_SIZE, *crops.shape[1:]))
    singles = [crops[index : index + 1] for index in range(len(crops))]
    single_s = _median_s(lambda turn: classifier.classify(singles[turn % len(singles)]), SINGLES)
    batch_s = _median_s(lambda turn: classifier.classify(batch), BATCHES)
    return Latency(1000 * single_s, BATCH_SIZE / batch_s, BATCH_SIZE)


def describe_machine(classifier: Classifier, threads: int) -> str:
    """One line on what the numbers were measured on."""
    cores = f"{threads} thread" if threads == 1 else f"{threads} threads"
    return f"{processor_name()}, {cores}, onnxruntime {ort.__version__} ({classifier.provider})"


def _median_s(call: Callable[[int], object], most: int) -> float:
    times_s: list[float] = []
    ends = time.perf_counter() + PATIENCE_S
    while len(times_s) < FEWEST or (len(times_s) < most and time.perf_counter() < ends):
        started = time.perf_counter()
        call(len(times_s))
        times_s.append(time.perf_counter() - started)
    return statistics.median(times_s)
