"""Whether a server stays as it is under all kinds of clients: `make soak`.

    python -m benchmarks.soak --seconds 600

Good images, bad ones, calls that are cancelled, deadlines that cannot be met, batches, streams that read
slowly and connections that say nothing, all at once. Memory (anonymous, of all the server's processes),
threads and open descriptors are watched; their last quarter is compared with the time after the warm-up.
"""

import argparse
import asyncio
import random
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from benchmarks.process_tree import counts, resident_bytes
from benchmarks.processes import run
from benchmarks.served import RunningServer, running_server
from benchmarks.serving_models import photographs, publish_tiny
from fovea.v1 import classify_pb2 as pb
from fovea.v1.classify_pb2_grpc import ClassifierStub

if TYPE_CHECKING:
    from fovea.v1.classify_pb2_grpc import ClassifierAsyncStub

WATCH_EVERY_S: Final = 0.5
WARM_UP_S: Final = 45.0
"""By then every kind of image, and of batch, was there; half the time at most."""
MEMORY_TOLERANCE: Final = 0.05
EXPECTED: Final = {"OK", "INVALID_ARGUMENT", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}

_TRIED_AGAIN: Final = ("grpc.per_rpc_retry_buffer_size", 2**31 - 1)
"""By default a call of more than 256 KiB that meets the end of its connection is lost, now and then."""


@dataclass
class Soaked:
    """What was seen."""

    ends: Counter[str] = field(default_factory=Counter)
    """How calls ended, by status code."""
    memory: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def complaints(self) -> list[str]:
        """What is not as it should be."""
        growth = _later(self.memory) / _earlier(self.memory) - 1
        complaints = [f"calls ended with {code}" for code in self.ends if code not in EXPECTED]
        if growth > MEMORY_TOLERANCE:
            complaints.append(f"memory grew by {growth:.1%}")
        for name, seen in (("threads", self.threads), ("descriptors", self.descriptors)):
            if _later(seen) > _earlier(seen) + 1:
                complaints.append(f"{name} grew from {_earlier(seen):.0f} to {_later(seen):.0f}")
        return complaints


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        publish_tiny(Path(scratch) / "tiny", Path(scratch) / "staging")
        with running_server(Path(scratch) / "tiny") as server:
            soaked = soak(server, options.seconds)
    _print(soaked)
    if complaints := soaked.complaints():
        sys.exit("; ".join(complaints))


def soak(server: RunningServer, seconds: float) -> Soaked:
    """All kinds of clients for so long."""
    return asyncio.run(_soak(server, seconds))


async def _soak(server: RunningServer, seconds: float) -> Soaked:
    soaked, images = Soaked(), _Images()
    until = time.monotonic() + seconds
    async with grpc.aio.insecure_channel(server.target, [_TRIED_AGAIN]) as channel:
        stub: ClassifierAsyncStub = ClassifierStub(channel)

        async def client(work: Callable[[], Awaitable[object]]) -> None:
            while time.monotonic() < until:
                try:
                    await work()
                    soaked.ends["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    soaked.ends[error.code().name] += 1
                except _Cancelled:
                    soaked.ends["CANCELLED"] += 1
                await asyncio.sleep(random.random() / 50)

        await asyncio.gather(
            client(lambda: stub.Classify(images.good(), timeout=30)),
            client(lambda: stub.Classify(images.good(), timeout=30)),
            client(lambda: stub.Classify(images.bad(), timeout=30)),
            client(lambda: stub.Classify(images.good(), timeout=random.random() / 100)),
            client(lambda: stub.ClassifyBatch(images.batch(), timeout=30)),
            client(lambda: _cancelled(stub, images)),
            client(lambda: _slow_stream(stub, images)),
            client(lambda: _new_connection(server.target, images)),
            client(lambda: _silent_connection(server.target)),
            _watch(server.pid, soaked, until),
        )
    return soaked


class _Cancelled(Exception):
    """The call ended as it was meant to."""


class _Images:
    """Requests of each kind."""

    def __init__(self) -> None:
        self._files = [*photographs(8, 500, 375), *photographs(2, 1600, 1200)]

    def good(self) -> pb.ClassifyRequest:
        return pb.ClassifyRequest(image=random.choice(self._files))

    def bad(self) -> pb.ClassifyRequest:
        data = bytearray(random.choice(self._files))
        for _ in range(20):
            data[random.randrange(len(data))] = random.randrange(256)
        return pb.ClassifyRequest(image=bytes(data[: random.randrange(len(data))]))

    def batch(self) -> pb.ClassifyBatchRequest:
        return pb.ClassifyBatchRequest(images=[self.good().image, self.bad().image, self.good().image])


async def _cancelled(stub: "ClassifierAsyncStub", images: _Images) -> None:
    call = stub.Classify(images.good(), timeout=30)
    await asyncio.sleep(random.random() / 100)
    call.cancel()
    if await call.code() is grpc.StatusCode.CANCELLED:
        raise _Cancelled


async def _slow_stream(stub: "ClassifierAsyncStub", images: _Images) -> None:
    async def requests() -> AsyncIterator[pb.ClassifyRequest]:
        for _ in range(30):
            yield images.good()

    async for _ in stub.ClassifyStream(requests(), timeout=60):
        await asyncio.sleep(0.02)


async def _new_connection(target: str, images: _Images) -> None:
    options = [("grpc.use_local_subchannel_pool", 1), _TRIED_AGAIN]
    async with grpc.aio.insecure_channel(target, options) as channel:
        stub: ClassifierAsyncStub = ClassifierStub(channel)
        await stub.Classify(images.good(), timeout=30)


async def _silent_connection(target: str) -> None:
    host, _, port = target.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.send(b"PRI * HTTP/2.0\r\n"[: random.randrange(16)] or b"x")
        await asyncio.sleep(random.random())


async def _watch(pid: int, soaked: Soaked, until: float) -> None:
    while time.monotonic() < until:
        await asyncio.sleep(WATCH_EVERY_S)
        threads, descriptors = counts(pid)
        soaked.memory.append(resident_bytes(pid))
        soaked.threads.append(threads)
        soaked.descriptors.append(descriptors)


def _earlier(seen: list[int]) -> float:
    warm = seen[min(int(WARM_UP_S / WATCH_EVERY_S), len(seen) // 2) :]
    return statistics.median(warm[: len(warm) // 3])


def _later(seen: list[int]) -> float:
    return statistics.median(seen[-len(seen) // 4 :])


def _print(soaked: Soaked) -> None:
    print("calls: " + ", ".join(f"{code} {count:,}" for code, count in soaked.ends.most_common()))
    memory = f"{_earlier(soaked.memory) / 1e6:.1f} MB, then {_later(soaked.memory) / 1e6:.1f} MB"
    print(f"anonymous memory: {memory} ({_later(soaked.memory) / _earlier(soaked.memory) - 1:+.1%})")
    print(f"threads: {_earlier(soaked.threads):.0f}, then {_later(soaked.threads):.0f}")
    print(f"open descriptors: {_earlier(soaked.descriptors):.0f}, then {_later(soaked.descriptors):.0f}")


if __name__ == "__main__":
    run(main)
