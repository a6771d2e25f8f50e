"""What one server's memory becomes with four models in it instead of one, on two cores."""

from collections.abc import Sequence
from typing import Final

from benchmarks.startup import pss_with_models
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, row

COUNT: Final = 4
THREADS: Final = 2
WANTED: Final = Wanted("<=", 1.5)


def measure(bench: Bench) -> list[Row]:
    """resnet34s of different weights, so that none is shared."""
    models = bench.bundles.several("resnet34", COUNT)
    seen = []
    for _ in range(bench.rounds):
        one = pss_with_models(models[:1], THREADS, bench.photographs)
        seen.append((one, pss_with_models(models, THREADS, bench.photographs)))
    return [
        _row("when ready", [(one.ready, four.ready) for one, four in seen], WANTED),
        _row("after calls to each", [(one.called, four.called) for one, four in seen], WANTED),
        _row("of that not backed by files", [(one.anonymous, four.anonymous) for one, four in seen]),
    ]


def _row(when: str, seen: Sequence[tuple[int, int]], wanted: Wanted | None = None) -> Row:
    one, four = ([pair[index] / 1e6 for pair in seen] for index in (0, 1))
    return row(f"resnet34, PSS of {COUNT} models, {when}", "one model", one, four, wanted, "MB")
