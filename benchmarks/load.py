"""Load on a server, from a process of its own: each client sends its next image when the last is answered.

    python -m benchmarks.load TARGET IMAGES CLIENTS SECONDS [--timeout-s 30]

Prints JSON: answered images (all, and those after the first second), seconds, errors by status code, and
latencies in milliseconds.
"""

import argparse
import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc

from fovea.v1 import classify_pb2 as pb

METHOD = "/fovea.v1.Classifier/Classify"
WARM_UP_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("target")
    parser.add_argument("images", type=Path)
    parser.add_argument("clients", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--timeout-s", type=float, default=60)
    options = parser.parse_args()
    files = [file.read_bytes() for file in sorted(options.images.iterdir())]
    requests = itertools.cycle([pb.ClassifyRequest(image=data).SerializeToString() for data in files])
    load = _Load(options.target, requests, options.timeout_s, options.seconds)
    if options.clients == 1:
        load.alone()
    else:
        asyncio.run(load.together(options.clients))
    print(json.dumps(load.report()))


class _Load:
    def __init__(self, target: str, requests: Iterator[bytes], timeout_s: float, seconds: float) -> None:
        self._target = target
        self._requests = requests
        self._timeout_s = timeout_s
        self._begin = time.perf_counter() + WARM_UP_S
        self._end = self._begin + seconds
        self._latencies: list[float] = []
        self._answered = 0
        self._errors: Counter[str] = Counter()

    def alone(self) -> None:
        """One client that blocks, as most do."""
        with grpc.insecure_channel(self._target) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
            while (started := time.perf_counter()) < self._end:
                try:
                    call(next(self._requests), timeout=self._timeout_s)
                except grpc.RpcError as error:
                    self._note(error.code())
                else:
                    self._note_answer(started)

    async def together(self, clients: int) -> None:
        channels = [
            grpc.aio.insecure_channel(self._target, [("grpc.use_local_subchannel_pool", 1)])
            for _ in range(min(clients, 8))
        ]
        await asyncio.gather(*(self._client(channels[index % len(channels)]) for index in range(clients)))
        await asyncio.gather(*(channel.close() for channel in channels))

    async def _client(self, channel: grpc.aio.Channel) -> None:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        while (started := time.perf_counter()) < self._end:
            try:
                await call(next(self._requests), timeout=self._timeout_s)
            except grpc.aio.AioRpcError as error:
                self._note(error.code())
            else:
                self._note_answer(started)

    def _note(self, code: grpc.StatusCode) -> None:
        self._errors[code.name] += 1

    def _note_answer(self, started: float) -> None:
        self._answered += 1
        if self._begin <= started:
            self._latencies.append((time.perf_counter() - started) * 1000)

    def report(self) -> dict[str, object]:
        latencies = sorted(self._latencies)
        return {
            "images": len(latencies),
            "all_images": self._answered,
            "seconds": self._end - self._begin,
            "errors": dict(self._errors),
            **{f"p{percent}_ms": _quantile(latencies, percent) for percent in (50, 95, 99)},
        }


def _quantile(ascending: Sequence[float], percent: int) -> float:
    return ascending[min(len(ascending) - 1, len(ascending) * percent // 100)] if ascending else 0.0


if __name__ == "__main__":
    main()
