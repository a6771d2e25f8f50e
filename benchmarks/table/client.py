"""What a call takes of the caller's CPU: by our client, and by a bare stub of the same grpc library."""

from typing import Final

from benchmarks.builds import THIS, Build
from benchmarks.in_turns import TRITON, Contender, name_of, running_contenders, take_turns
from benchmarks.table.bench import Bench
from benchmarks.table.rows import Row, Wanted, row, served_row

WAYS: Final = ("classify", "classify_many")
WANTED: Final = Wanted("<=", 0.5, "value")


def measure(bench: Bench) -> list[Row]:
    """Each build's own client calls its own server; the stub calls them all."""
    models = bench.bundles.of("pool")
    with running_contenders(models, bench.photographs, ("triton",), bench.builds) as contenders:
        servers = {each.name: each for each in contenders}
        rows = [_client_row(bench, servers, way) for way in WAYS]
        seen = take_turns(contenders, bench.photographs, 1, bench.seconds, bench.rounds)
    what = "caller's CPU a call, a bare stub"
    for theirs in (name_of(bench.older), TRITON):
        both = (seen[theirs], seen[name_of(THIS)])
        rows.append(served_row(what, theirs, both, "caller_cpu_ms", None, "ms"))
    return rows


def _client_row(bench: Bench, servers: dict[str, Contender], way: str) -> Row:
    def once(build: Build) -> float:
        words = (servers[name_of(build)].target, str(bench.photographs.resolve()), str(bench.seconds), way)
        return float(build.run_script("client_cost.py", *words))

    theirs, ours = bench.in_rounds(once)
    return row(f"caller's CPU a call, Client.{way}", bench.older.name, theirs, ours, WANTED, "ms")
