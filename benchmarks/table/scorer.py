"""The scorer beside a bare loop that fetches, decodes and classifies, a process a core."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import scoring_loops
from benchmarks.builds import THIS, Build
from benchmarks.scoring import SOURCE, Night
from benchmarks.scoring_loops import Measured
from benchmarks.static_store import running_store
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, row
from fovea.cpus import available_cpus

IMAGES_A_SECOND = 500
"""How many images a second of measuring is taken for, by a core."""


def measure(bench: Bench) -> list[Row]:
    """Images a second, and images per CPU second, of the tiny network."""
    models = bench.bundles.of("tiny")
    images = max(500, round(bench.seconds * IMAGES_A_SECOND * available_cpus()))

    def loop(build: Build) -> Measured:
        return scoring_loops.run(
            "all", models, SOURCE, min(images, 1000), bench.seconds, available_cpus(), build
        )

    with (
        tempfile.TemporaryDirectory() as output,
        running_store(bench.photographs, images) as store,
    ):
        os.environ.update(store.environment)
        night = Night(models, Path(output), store.pid)
        rounds = [(loop(bench.older), loop(THIS), night.score()) for _ in range(bench.rounds)]
    older, own, scorer = zip(*rounds, strict=True)
    loops = {bench.older.name: older, "this build": own}
    return [
        *(_row("images/s", "images_s", f"bare loop of {name}", loop, scorer) for name, loop in loops.items()),
        _row("images per CPU s", "images_cpu_s", f"bare loop of {bench.older.name}", older, scorer),
    ]


def _row(what: str, field: str, beside: str, loop: Sequence[Measured], scorer: Sequence[Measured]) -> Row:
    theirs, ours = ([float(getattr(each, field)) for each in seen] for seen in (loop, scorer))
    wanted = Wanted(">=", 1.2) if field == "images_s" and "this" not in beside else None
    return row(f"scorer on tiny, {what}", beside, theirs, ours, wanted)
