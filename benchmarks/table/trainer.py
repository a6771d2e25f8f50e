"""The trainer's first epoch, with decoding, beside its second."""

import tempfile
from pathlib import Path
from typing import Final

from benchmarks import training
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, row
from benchmarks.training_options import parse, photographs_of

IMAGES: Final = 640


def measure(bench: Bench) -> list[Row]:
    """resnet34 at 128 px; each round begins with no decoded images."""
    options = parse(["--images", str(IMAGES), "--rounds", "1"])
    folder = photographs_of(options, bench.work / "training")
    first, second = [], []
    for _ in range(bench.rounds):
        with tempfile.TemporaryDirectory() as work:
            seen = training.measure(options, folder, Path(work))
        first.append(seen.first)
        second += seen.trained
    return [row("trainer's first epoch, images/s", "its second", second, first, Wanted(">=", 0.96))]
