"""What happens when ten times as many images come as the server can classify.

    python -m benchmarks.overload
    python -m benchmarks.overload --models models/pets --times 10 --seconds 30

Offers calls at a steady rate whether or not they are answered, each with a deadline, and meanwhile asks the
port for probes how it is. Without --models it serves an untrained resnet34.

Server and load share the cores of one machine. So the throughput is also given for each core second that the
load's own process left.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import torch
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.machine import describe_machine
from benchmarks.process_tree import resident_bytes
from benchmarks.processes import run
from benchmarks.served import RunningServer, running_server
from benchmarks.serving_models import photographs, publish_untrained_resnet34
from fovea.cpus import available_cpus
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub

if TYPE_CHECKING:
    from fovea.v1.classify_pb2_grpc import ClassifierAsyncStub

TIMEOUT_S: Final = 3.0
PROBE_EVERY_S: Final = 0.1
CLIENTS: Final = 16


@dataclass(frozen=True)
class Throughput:
    """Images answered in a stretch of time."""

    images_s: float
    load_cores: float
    """Cores that the process took which made the load."""

    def per_core(self, cores: int) -> float:
        """Images a second for each core that the load left."""
        return self.images_s / (cores - self.load_cores)


@dataclass
class Overload:
    """What was seen; times in seconds."""

    best: Throughput
    offered_s: float
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: int = 0
    """Calls whose deadline passed though they were not refused."""
    others: Counter[str] = field(default_factory=Counter)
    """Calls that ended in another way, by status code."""
    probes: list[float] = field(default_factory=list)
    throughput: Throughput = Throughput(0.0, 0.0)
    memory: tuple[int, int] = (0, 0)
    """Anonymous memory after the first third, and at the end, in bytes."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overload", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--models", type=Path)
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu"), available_cpus()))
    with tempfile.TemporaryDirectory() as scratch:
        models = options.models or Path(scratch) / "resnet34"
        if options.models is None:
            publish_untrained_resnet34(models, Path(scratch) / "staging")
        with running_server(models) as server:
            _print(overload(server, options.times, options.seconds))


def overload(server: RunningServer, times: float, seconds: float) -> Overload:
    """Measures the server's best throughput first, then offers so many times as much."""
    requests = itertools.cycle([pb.ClassifyRequest(image=data) for data in photographs(16, 500, 375)])
    return asyncio.run(_overload(server, requests, times, seconds))


async def _overload(
    server: RunningServer, requests: Iterator[pb.ClassifyRequest], times: float, seconds: float
) -> Overload:
    async with grpc.aio.insecure_channel(server.target) as channel:
        stub: ClassifierAsyncStub = ClassifierStub(channel)
        best = await _best(stub, requests, seconds / 3)
        seen = Overload(best, best.images_s * times)
        probing = asyncio.create_task(_probe(server.health_target, seen))
        started, cpu_s, calls = time.perf_counter(), time.process_time(), set()
        early = 0
        for number in range(int(seconds * seen.offered_s)):
            await asyncio.sleep(max(0.0, started + number / seen.offered_s - time.perf_counter()))
            calls.add(call := asyncio.create_task(_call(stub, next(requests), seen)))
            call.add_done_callback(calls.discard)
            if number == int(seconds * seen.offered_s / 3):
                early = resident_bytes(server.pid)
        await asyncio.gather(*calls)
        seen.throughput = _throughput(len(seen.answered), started, cpu_s)
        seen.memory = (early, resident_bytes(server.pid))
        probing.cancel()
        return seen


async def _best(
    stub: "ClassifierAsyncStub", requests: Iterator[pb.ClassifyRequest], seconds: float
) -> Throughput:
    finished = 0

    async def client() -> None:
        nonlocal finished
        while time.perf_counter() < until:
            await stub.Classify(next(requests), timeout=60)
            finished += 1

    started, cpu_s = time.perf_counter(), time.process_time()
    until = started + seconds
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return _throughput(finished, started, cpu_s)


def _throughput(images: int, started: float, cpu_s: float) -> Throughput:
    """Since the clocks showed `started` and `cpu_s`."""
    seconds = time.perf_counter() - started
    return Throughput(images / seconds, (time.process_time() - cpu_s) / seconds)


async def _call(stub: "ClassifierAsyncStub", request: pb.ClassifyRequest, seen: Overload) -> None:
    started = time.perf_counter()
    try:
        await stub.Classify(request, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        took = time.perf_counter() - started
        refusals = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
        if error.code() not in refusals:
            seen.others[error.code().name] += 1
        elif took < 0.9 * TIMEOUT_S:
            seen.refused.append(took)
        else:
            seen.late += 1
    else:
        seen.answered.append(time.perf_counter() - started)


async def _probe(target: str, seen: Overload) -> None:
    request = health_pb2.HealthCheckRequest(service="")
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        while True:
            started = time.perf_counter()
            await stub.Check(request, timeout=10)
            seen.probes.append(time.perf_counter() - started)
            await asyncio.sleep(PROBE_EVERY_S)


def quantile(values: list[float], share: float) -> float:
    """0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _print(seen: Overload) -> None:
    best, then, cores = seen.best, seen.throughput, available_cpus()
    print(f"best {best.images_s:.1f} images/s; {seen.offered_s:.0f} calls/s offered")
    print(f"answered {then.images_s:.1f} images/s, {then.images_s / best.images_s:.0%} of the best")
    share = then.per_core(cores) / best.per_core(cores)
    print(f"the load took {then.load_cores:.2f} of {cores} cores; by what it left, {share:.0%} of the best")
    _print_times("answered", seen.answered)
    _print_times("refused", seen.refused)
    _print_times("probes of 8003", seen.probes)
    print(f"accepted, but not in time: {seen.late}; ended otherwise: {dict(seen.others) or 'none'}")
    early, late = seen.memory
    print(f"anonymous memory: {early / 1e6:.0f} MB after a third, {late / 1e6:.0f} MB at the end")


def _print_times(name: str, seconds: list[float]) -> None:
    p50, p99, largest = (quantile(seconds, share) * 1000 for share in (0.5, 0.99, 1.0))
    print(f"{name}: {len(seconds)}; p50 {p50:.0f}, p99 {p99:.0f}, largest {largest:.0f} ms")


if __name__ == "__main__":
    run(main)
