"""What a shadow costs the calls: one server without it, and one whose next version answers some images too.

    python -m benchmarks.shadowing
    python -m benchmarks.shadowing --only resnet34 --percent 10 --seconds 60

The same callers call both by turns, a few calls each: whatever else the machine does meets both alike, also
where it is busy. A lone caller pauses between its calls: its images take all cores, and without a pause none
would ever be spare. Medians of the latency, and images per CPU second of each server's processes, without
those that compute the shadow's answers alone (`top` calls them fovea-spare); and what became of the images
that were drawn. `--control` compares two servers without a shadow, which tells how far chance goes.
"""

import argparse
import asyncio
import itertools
import re
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from statistics import median
from typing import Final

import grpc
import torch

from benchmarks.arguments import positive_float, positive_int
from benchmarks.load import CLASSIFY
from benchmarks.machine import describe_machine
from benchmarks.measuring import write_files
from benchmarks.networks import NETWORKS, Bundles
from benchmarks.process_tree import cpu_seconds
from benchmarks.processes import run
from benchmarks.served import RunningServer, running_server
from benchmarks.serving_models import photographs
from fovea.cpus import available_cpus
from fovea.v1 import classify_pb2 as pb

CLIENTS: Final = (1, 16)
OFF: Final = "without a shadow"
ON: Final = "with one"
SPARE: Final = "fovea-spare"
BLOCK: Final = 40
"""Calls of each caller before it is the other server's turn."""
PAUSE_S: Final = 0.02
"""Of a lone caller between two calls."""
SETTLING: Final = 2
"""Of these, the first ones that are not looked at: the other server may still be at its last shadow."""
LOADS_WITHIN_S: Final = 120


class Contender:
    """A server, its callers' connection, and what was seen of it."""

    def __init__(self, server: RunningServer, channel: grpc.aio.Channel) -> None:
        self.server = server
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CLASSIFY)
        self.began_s = self.cpu_s
        self.images = 0
        self.latencies_ms: list[float] = []
        self.medians_ms: list[float] = []
        """Of each block."""

    @property
    def cpu_s(self) -> float:
        return cpu_seconds(self.server.pid, SPARE)

    @property
    def images_cpu_s(self) -> float:
        return self.images / (self.cpu_s - self.began_s)

    async def answer_block(self, requests: Iterator[bytes], clients: int) -> None:
        pause_s = PAUSE_S if clients == 1 else 0.0
        blocks = await asyncio.gather(*(self._calls(requests, pause_s) for _ in range(clients)))
        seen = [each for block in blocks for each in block[SETTLING:]]
        self.images += clients * BLOCK
        self.latencies_ms += seen
        self.medians_ms.append(median(seen))

    async def _calls(self, requests: Iterator[bytes], pause_s: float) -> list[float]:
        latencies = []
        for request in itertools.islice(requests, BLOCK):
            began = time.perf_counter()
            await self._call(request)
            latencies.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(pause_s)
        return latencies


def main() -> None:
    options = _parse()
    print(describe_machine(torch.device("cpu"), available_cpus()))
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        work = options.work or Path(scratch)
        images = write_files(work / "small", photographs(32, 500, 375))
        models = _two_versions(Bundles(work, images), options.only)
        files = [file.read_bytes() for file in sorted(images.iterdir())]
        requests = [pb.ClassifyRequest(image=each).SerializeToString() for each in files]
        plain = stack.enter_context(running_server(models, "--model-version", "1"))
        shadow = () if options.control else ("--shadow", "2", "--shadow-percent", str(options.percent))
        shadowed = stack.enter_context(running_server(models, "--model-version", "1", *shadow))
        if not options.control:
            shadowed.program.wait_for("a second version is live beside the current one", LOADS_WITHIN_S)
        for clients in options.clients:
            print(f"\n{options.only}, {clients} callers\n", flush=True)
            asyncio.run(_compare((plain, shadowed), requests, clients, options.seconds))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shadowing", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--only", choices=sorted(NETWORKS), default="tiny")
    parser.add_argument("--percent", type=positive_float, default=10, help="of the images")
    parser.add_argument("--clients", type=positive_int, nargs="+", default=CLIENTS, help="callers")
    parser.add_argument("--seconds", type=positive_float, default=40, help="of both servers together")
    parser.add_argument("--control", action="store_true", help="have no shadow: how far chance goes")
    parser.add_argument("--work", type=Path, help="where models and photographs are kept for the next run")
    return parser.parse_args()


def _two_versions(bundles: Bundles, name: str) -> Path:
    """The second is as large, with weights a thousandth larger."""
    models = bundles.of(name)
    if not (models / "2").exists():
        bundles.publish_another(models)
    return models


async def _compare(
    servers: tuple[RunningServer, RunningServer], images: Sequence[bytes], clients: int, seconds: float
) -> None:
    requests = itertools.cycle(images)
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(each.target)) for each in servers
        ]
        for server, channel in zip(servers, channels, strict=True):  # not looked at
            await Contender(server, channel).answer_block(requests, clients)
        plain, shadowed = (Contender(*each) for each in zip(servers, channels, strict=True))
        before = _outcomes(shadowed.server)
        turns = [plain, shadowed]
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            turns.reverse()
            for each in turns:
                await each.answer_block(requests, clients)
    await asyncio.sleep(1)  # for the last of them
    _print(plain, shadowed)
    became = {each: count - before[each] for each, count in _outcomes(shadowed.server).items()}
    print("\nof these: " + ", ".join(f"{count:.0f} {each}" for each, count in became.items()), flush=True)


def _outcomes(server: RunningServer) -> dict[str, float]:
    with urllib.request.urlopen(server.metrics_url, timeout=60) as page:
        series = re.findall(r'^fovea_shadow_total{outcome="(\w+)"} (\S+)', page.read().decode(), re.MULTILINE)
    return {outcome: float(count) for outcome, count in series}


def _print(plain: Contender, shadowed: Contender) -> None:
    print("| server | images | images per CPU second | p50 ms |\n|---|---:|---:|---:|")
    for name, each in ((OFF, plain), (ON, shadowed)):
        print(f"| {name} | {each.images} | {each.images_cpu_s:.1f} | {median(each.latencies_ms):.2f} |")
    blocks = zip(shadowed.medians_ms, plain.medians_ms, strict=True)
    per_cpu, p50 = (
        shadowed.images_cpu_s / plain.images_cpu_s,
        median(ours / theirs for ours, theirs in blocks),
    )
    print(f"| ratio; of the latency, the median of each turn's | | {per_cpu:.3f} | {p50:.3f} |")


if __name__ == "__main__":
    run(main)
