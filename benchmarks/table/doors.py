"""gRPC beside the older build, and HTTP beside gRPC, mosec and LitServe, on the tiny network."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from benchmarks.in_turns import (
    CLASSIFY,
    CLIENTS,
    LITSERVE,
    MOSEC,
    MOSEC_ALONE,
    OVER_HTTP,
    Rounds,
    name_of,
    running_contenders,
    take_turns,
)
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, served_row

PEERS: Final = ("mosec", "litserve")
LONE: Final = 1
MANY: Final = (16, 64)
"""Callers, at whose numbers the cost of a call is compared."""


class _Asked(NamedTuple):
    ours: str
    beside: str
    clients: int
    what: str
    field: str
    unit: str
    wanted: Wanted


def measure(bench: Bench) -> list[Row]:
    models, images = bench.bundles.of("tiny"), bench.photographs
    with running_contenders(models, images, PEERS, bench.builds) as contenders:
        seen = {
            clients: take_turns(contenders, images, clients, bench.seconds, bench.rounds)
            for clients in CLIENTS
        }
    return rows(seen, name_of(bench.older))


def rows(seen: Mapping[int, Rounds], older: str) -> list[Row]:
    """Of what was measured, by the number of callers; `older` is the older build's Classify."""
    return [
        served_row(
            f"{asked.ours}: {asked.what}",
            asked.beside,
            (seen[asked.clients][asked.beside], seen[asked.clients][asked.ours]),
            asked.field,
            asked.wanted,
            asked.unit,
        )
        for asked in _asked(older)
        if asked.beside in seen[asked.clients]
    ]


def _asked(older: str) -> Iterator[_Asked]:
    if older != CLASSIFY:
        for clients in MANY:
            yield _cost(CLASSIFY, older, clients, 0.98)
        yield _Asked(CLASSIFY, older, LONE, "lone p50", "p50_ms", "ms", Wanted("<=", 1.02))
    bounds = {CLASSIFY: 1.05, MOSEC: 1.15, MOSEC_ALONE: 1.15, LITSERVE: 1.5}
    for beside, bound in bounds.items():
        for clients in MANY:
            yield _cost(OVER_HTTP, beside, clients, bound)


def _cost(ours: str, beside: str, clients: int, bound: float) -> _Asked:
    what = f"images per server CPU s, {clients} callers"
    return _Asked(ours, beside, clients, what, "images_cpu_s", "", Wanted(">=", bound))
