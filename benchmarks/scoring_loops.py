"""The limits that the scorer is measured against: one of its stages alone, or all without the scorer.

    python -m benchmarks.scoring_loops classify|decode|fetch|all MODELS SOURCE IMAGES SECONDS

`classify`, `decode` and `all` are single-threaded and meant to run once a core; `fetch` has 32 threads, as
the scorer does. Each goes over the first IMAGES of SOURCE again and again. Prints images, seconds and CPU
seconds as JSON.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.builds import THIS, Build
from benchmarks.processes import outputs_of
from fovea.images.preprocess import decode_image
from fovea.model import versions
from fovea.model.classifier import Classifier
from fovea.ordered import Window, ordered_map
from fovea.stores.folder import Entry
from fovea.stores.storage import open_folder
from scorer.scoring.pipeline import CPU_BATCH

FETCHES: Final = 32
WARM_UP: Final = 3

Step = Callable[[], int]
"""Does some of the work; returns of how many images."""


@dataclass(frozen=True)
class Measured:
    """What was reached, by so many processes together."""

    images_s: float
    images_cpu_s: float


def run(
    kind: str, models: Path, source: str, images: int, seconds: float, processes: int, build: Build = THIS
) -> Measured:
    """Runs that build's loop in so many processes side by side."""
    words = (kind, str(models.resolve()), source, str(images), str(seconds))
    command = build.command("benchmarks.scoring_loops", *words)
    results = [json.loads(output) for output in outputs_of([command] * processes, folder=build.folder)]
    images_s = sum(result["images"] / result["seconds"] for result in results)
    cpu_s = sum(result["cpu_s"] for result in results)
    return Measured(images_s, sum(result["images"] for result in results) / cpu_s)


def main() -> None:
    kind, models, source, images, seconds = sys.argv[1:]
    folder = open_folder(source)
    entries = list(itertools.islice(folder.entries(), int(images)))
    loop = _Loop(Path(models), source, itertools.cycle(entries))
    # In the main thread each read would have a thread made for it, so that signals are heard.
    with ThreadPoolExecutor(1) as thread:
        print(json.dumps(thread.submit(lambda: _measure(getattr(loop, kind)(), float(seconds))).result()))


def _measure(step: Step, seconds: float) -> dict[str, float]:
    for _ in range(WARM_UP):
        step()
    images = 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() < began + seconds:
        images += step()
    return {
        "images": images,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
    }


class _Loop:
    def __init__(self, models: Path, source: str, entries: Iterator[Entry]) -> None:
        bundle = versions.fetch(str(models))
        self._spec = bundle.contract.preprocess
        self._classifier = Classifier(bundle, "cpu", 1)
        self._folder, self._entries = open_folder(source), entries

    def classify(self) -> Step:
        pixels = np.stack([decode_image(self._fetch(), self._spec) for _ in range(CPU_BATCH)])
        return lambda: len(self._classifier.classify(pixels))

    def decode(self) -> Step:
        files = itertools.cycle([self._fetch() for _ in range(32)])
        return lambda: len([decode_image(next(files), self._spec) for _ in range(CPU_BATCH)])

    def fetch(self) -> Step:
        read = ordered_map(self._read, self._entries, FETCHES, Window(2 * FETCHES))
        return lambda: len([next(read) for _ in range(CPU_BATCH)])

    def all(self) -> Step:
        def step() -> int:
            crops = [decode_image(self._fetch(), self._spec) for _ in range(CPU_BATCH)]
            return len(self._classifier.classify(np.stack(crops)))

        return step

    def _fetch(self) -> bytes:
        return self._read(next(self._entries))

    def _read(self, entry: Entry) -> bytes:
        return self._folder.read(entry.key, entry.etag)


if __name__ == "__main__":
    main()
