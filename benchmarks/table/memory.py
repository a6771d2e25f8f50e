"""Memory and start-up as the cores become more, and what a new version adds while it takes over."""

from pathlib import Path
from typing import Final

from benchmarks.builds import Build
from benchmarks.startup import reload_bytes, startup
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, row
from fovea.cpus import available_cpus

THREADS: Final = (1, 2, 4, 8, 16)
MOST: Final = THREADS[-1]

Rounds = list[tuple[float, float]]
"""Seconds until it was ready, and PSS in MB."""


def measure(bench: Bench) -> list[Row]:
    """resnet34 with more and more threads, and when a new version takes over; the tiny network on two."""
    models = bench.bundles.of("resnet34")
    started = {threads: _startups(bench, models, threads) for threads in THREADS}
    tiny = _startups(bench, bench.bundles.of("tiny"), 2)
    return [
        *(_row(bench, f"resnet34, PSS, --threads {n}", 1, seen, n) for n, seen in started.items()),
        _slope(bench, started[1], started[MOST]),
        _reload(bench, models),
        *(_row(bench, f"resnet34, ready after, --threads {n}", 0, seen, n) for n, seen in started.items()),
        _row(bench, "tiny, ready after, --threads 2", 0, tiny),
    ]


def _startups(bench: Bench, models: Path, threads: int) -> tuple[Rounds, Rounds]:
    """Of (the older build, this one)."""

    def once(build: Build) -> tuple[float, float]:
        seconds, pss_bytes = startup(models, threads, build)
        return seconds, pss_bytes / 1e6

    return bench.in_rounds(once)


def _row(bench: Bench, what: str, field: int, seen: tuple[Rounds, Rounds], threads: int = 0) -> Row:
    theirs, ours = ([each[field] for each in rounds] for rounds in seen)
    wanted = Wanted("<=", 0.6) if threads == 0 else Wanted("<=", 0.3) if threads == MOST else None
    return row(what, bench.older.name, theirs, ours, wanted, ("s", "MB")[field])


def _slope(bench: Bench, one: tuple[Rounds, Rounds], most: tuple[Rounds, Rounds]) -> Row:
    theirs, ours = (
        [(many[1] - single[1]) / (MOST - 1) for single, many in zip(*rounds, strict=True)]
        for rounds in zip(one, most, strict=True)
    )
    wanted = Wanted("<=", 45, "value")
    return row("resnet34, PSS: each thread more", bench.older.name, theirs, ours, wanted, "MB")


def _reload(bench: Bench, models: Path) -> Row:
    """At its highest."""

    def once(build: Build) -> float:
        highest, _ = reload_bytes(models, available_cpus(), bench.bundles.publish_another, build)
        return highest / 1e6

    theirs, ours = bench.in_rounds(once)
    what = f"resnet34, PSS: a reload adds, --threads {available_cpus()}"
    return row(what, bench.older.name, theirs, ours, Wanted("<=", 150, "value"), "MB")
