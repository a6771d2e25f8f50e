"""Servers of one bundle measured in turns in one run: builds of this project, Triton, mosec and LitServe.

NVIDIA's Triton runs what `python -m server.triton` lays out, mosec `benchmarks/mosec_service.py`, LitServe
`benchmarks/litserve_service.py`: all of them our image path and our classifier, in a process for each core,
so that what differs is the serving. Triton is called by the Open Inference Protocol, mosec and LitServe by
HTTP, ours by Classify and by HTTP (beside Triton by the Open Inference Protocol too).
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import litserve_server, mosec_server
from benchmarks.builds import THIS, Build
from benchmarks.measuring import Served, measure
from benchmarks.served import running_server
from benchmarks.triton_server import running_triton, tritonserver
from fovea.cpus import available_cpus

CLIENTS: Final = (1, 16, 64)
ROUNDS: Final = 3
"""In which the servers take turns, so that what else the machine does meets all of them."""
PEERS: Final = ("triton", "mosec", "litserve")
TRITON: Final = "Triton, ModelInfer"
CLASSIFY: Final = "Fovea, Classify"
OVER_HTTP: Final = "Fovea, HTTP"
MOSEC: Final = "mosec, HTTP"
MOSEC_ALONE: Final = "mosec without batches, HTTP"
"""A lone image need not wait for others there."""
LITSERVE: Final = "LitServe, HTTP"
MAX_BATCH_SIZE: Final = 16
"""Of mosec: as our server and Triton have it on a CPU."""
COLUMNS: Final = {
    "images/s": "images_s",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "per CPU s": "images_cpu_s",
    "caller's CPU ms": "caller_cpu_ms",
}
"""As they are called -> of `Served`; the fourth is images per CPU second of the server's processes."""


@dataclass(frozen=True)
class Contender:
    """A server that runs, and how it is called."""

    name: str
    pid: int
    target: str
    flags: tuple[str, ...] = ()
    """Of benchmarks.load."""


Rounds = Mapping[str, Sequence[Served]]
"""What was seen of each contender, round by round."""


def check_environments(peers: Sequence[str]) -> None:
    """Raises Unavailable, with what to run, where one of them is not set up."""
    if "triton" in peers:
        tritonserver()
    if "mosec" in peers:
        mosec_server.python_of_mosec()
    if "litserve" in peers:
        litserve_server.python_of_litserve()


@contextmanager
def running_contenders(
    models: Path, images: Path, peers: Sequence[str], builds: Sequence[Build] = (THIS,)
) -> Iterator[list[Contender]]:
    """All of them side by side: those that are not measured are idle."""
    models, cores = models.resolve(), available_cpus()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = []
        by_oip = ("--oip", models.name)
        if "triton" in peers:
            triton = stack.enter_context(running_triton(models, scratch, "--instances", str(cores)))
            contenders.append(Contender(TRITON, triton.pid, triton.target, by_oip))
        image = min(images.iterdir()).read_bytes()
        if "mosec" in peers:
            contenders += [stack.enter_context(each) for each in _mosecs(models, scratch, image)]
        if "litserve" in peers:
            contenders.append(stack.enter_context(_litserve(models, image)))
        for build in builds:
            server = stack.enter_context(running_server(models, build=build))
            if "triton" in peers and build is THIS:
                contenders.append(Contender("Fovea, ModelInfer", server.pid, server.target, by_oip))
            contenders.append(Contender(name_of(build), server.pid, server.target))
            if server.http_target is not None:
                by_http = ("--http", "/v1/classify")
                named = name_of(build, OVER_HTTP)
                contenders.append(Contender(named, server.pid, server.http_target, by_http))
        yield contenders


def _mosecs(models: Path, scratch: Path, image: bytes) -> Iterator[AbstractContextManager[Contender]]:
    """With batches and without."""

    @contextmanager
    def running(name: str, max_batch_size: int) -> Iterator[Contender]:
        with mosec_server.running_mosec(models, scratch, available_cpus(), max_batch_size, image) as server:
            yield Contender(name, server.pid, server.target, ("--http", mosec_server.PATH))

    return (running(name, size) for name, size in ((MOSEC, MAX_BATCH_SIZE), (MOSEC_ALONE, 1)))


@contextmanager
def _litserve(models: Path, image: bytes) -> Iterator[Contender]:
    with litserve_server.running_litserve(models, available_cpus(), image) as server:
        yield Contender(LITSERVE, server.pid, server.target, ("--http", litserve_server.PATH))


def name_of(build: Build, called: str = CLASSIFY) -> str:
    """Of the contender that is this build, which is called so."""
    return called if build is THIS else called.replace("Fovea", f"Fovea {build.name}")


def take_turns(
    contenders: Sequence[Contender], images: Path, clients: int, seconds: float, rounds: int
) -> Rounds:
    """Each round measures all, for `seconds` each, and begins with another one."""
    seen: dict[str, list[Served]] = {each.name: [] for each in contenders}
    for number in range(rounds):
        first = number % len(contenders)
        for each in (*contenders[first:], *contenders[:first]):
            seen[each.name].append(measure(each.pid, each.target, images, clients, seconds, *each.flags))
    return seen


def ratio(ours: Sequence[Served], theirs: Sequence[Served], field: str) -> float:
    """Of each round; then the median."""
    pairs = zip(ours, theirs, strict=True)
    return float(median(getattr(a, field) / getattr(b, field) for a, b in pairs))


def compare(contenders: Sequence[Contender], images: Path, seconds: float, rounds: int) -> dict[int, Rounds]:
    """Prints medians, and how many times the others' ours are. Gives all, by the number of callers."""
    columns = " | ".join(COLUMNS)
    print(f"| clients | server, call | {columns} | errors |\n|---:|---|{'---:|' * (len(COLUMNS) + 1)}")
    all_seen: dict[int, Rounds] = {}
    for clients in CLIENTS:
        seen = all_seen[clients] = take_turns(contenders, images, clients, seconds / rounds, rounds)
        for name, each in seen.items():
            print(f"| {clients} | {name} | {_medians(each)} |")
        for ours, theirs in _pairs(list(seen)):
            print(f"| {clients} | {ours} / {theirs} | {_ratios(seen[ours], seen[theirs])} |", flush=True)
    return all_seen


def _pairs(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """This build's calls beside one another, an older build's, and other servers."""
    this = [name for name in names if name.startswith("Fovea, ")]
    yield OVER_HTTP, CLASSIFY
    for theirs in (name for name in names if name not in this):
        for ours in this:
            yield ours, theirs


def _medians(rounds: Sequence[Served]) -> str:
    numbers = [f"{median(getattr(seen, field) for seen in rounds):.2f}" for field in COLUMNS.values()]
    return " | ".join([*numbers, str(sum(sum(seen.errors.values()) for seen in rounds))])


def _ratios(ours: Sequence[Served], theirs: Sequence[Served]) -> str:
    return " | ".join([*(f"{ratio(ours, theirs, field):.2f}" for field in COLUMNS.values()), ""])
