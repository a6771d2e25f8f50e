"""Throughput and latency beside the older build, Triton and mosec, on a cheap network and on resnet34."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from benchmarks.builds import THIS, Build
from benchmarks.in_turns import (
    CLIENTS,
    MOSEC,
    MOSEC_ALONE,
    TRITON,
    Rounds,
    name_of,
    running_contenders,
    take_turns,
)
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, served_row

OLDER: Final = "older"


class _Asked(NamedTuple):
    what: str
    clients: int
    field: str
    unit: str
    wanted: dict[str, Wanted]
    """By whom it is beside."""


def _wanted(sign: Literal["<=", ">="], of_peers: float, of_older: float | None = None) -> dict[str, Wanted]:
    peers = dict.fromkeys((TRITON, MOSEC, MOSEC_ALONE), Wanted(sign, of_peers))
    return peers | ({OLDER: Wanted(sign, of_older)} if of_older else {})


CHEAP: Final = (
    _Asked("images per server CPU s, 64 callers", 64, "images_cpu_s", "", _wanted(">=", 1.15, 1.25)),
    _Asked("images/s, 64 callers", 64, "images_s", "", _wanted(">=", 1.1, 1.25)),
    _Asked("lone p50", 1, "p50_ms", "ms", _wanted("<=", 0.9)),
    _Asked("p99, 16 callers", 16, "p99_ms", "ms", _wanted("<=", 0.8)),
)
COSTLY: Final = (
    _Asked("images/s, 64 callers", 64, "images_s", "", {TRITON: Wanted(">=", 1.03)}),
    _Asked("lone p50", 1, "p50_ms", "ms", {TRITON: Wanted("<=", 0.61)}),
    _Asked("p99, 16 callers", 16, "p99_ms", "ms", {TRITON: Wanted("<=", 0.67)}),
)


def cheap(bench: Bench) -> list[Row]:
    """A network that does next to nothing, so that the server's own work is what is measured."""
    seen = _seen(bench, "pool", ("triton", "mosec"), bench.builds)
    others = {OLDER: name_of(bench.older), TRITON: TRITON, MOSEC: MOSEC, MOSEC_ALONE: MOSEC_ALONE}
    return [
        _row("pool + linear", asked, seen, other, name) for asked in CHEAP for other, name in others.items()
    ]


def resnet34(bench: Bench) -> list[Row]:
    """Where the model is the limit."""
    seen = _seen(bench, "resnet34", ("triton",), (THIS,))
    return [_row("resnet34 fp32", asked, seen, TRITON, TRITON) for asked in COSTLY]


def _seen(bench: Bench, network: str, peers: Sequence[str], builds: Sequence[Build]) -> dict[int, Rounds]:
    """By the number of callers."""
    with running_contenders(bench.bundles.of(network), bench.photographs, peers, builds) as contenders:
        called = [each for each in contenders if each.name != "Fovea, ModelInfer"]
        return {
            clients: take_turns(called, bench.photographs, clients, bench.seconds, bench.rounds)
            for clients in CLIENTS
        }


def _row(network: str, asked: _Asked, seen: dict[int, Rounds], other: str, name: str) -> Row:
    both = (seen[asked.clients][name], seen[asked.clients][name_of(THIS)])
    what = f"{network}, {asked.what}"
    return served_row(what, name, both, asked.field, asked.wanted.get(other), asked.unit)
