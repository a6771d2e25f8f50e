"""Load on a server, from a process of its own: each client sends its next image when the last is answered.

    python -m benchmarks.load TARGET IMAGES CLIENTS SECONDS [--timeout-s 30] [--oip MODEL | --http PATH]

By Classify; with `--oip`, by ModelInfer of the Open Inference Protocol, to the model of that name; with
`--http`, by a POST of the image to that path. Prints JSON: answered images (all, and those after the first
second), seconds, errors by status code, latencies in milliseconds, and the CPU seconds that this process took
from its first call to its last answer.
"""

import argparse
import asyncio
import itertools
import json
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import grpc

from benchmarks.http_calls import BlockingConnection, CallFailed, Connection, post
from fovea.oip import open_inference_pb2 as oip
from fovea.v1 import classify_pb2 as pb

CLASSIFY: Final = "/fovea.v1.Classifier/Classify"
INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
CHANNELS: Final = 8
"""Over which many clients of gRPC are spread. An HTTP client has a connection of its own."""
WARM_UP_S: Final = 1.0
LONGER_S: Final = 30.0
"""For which a load goes on that has nothing to report yet."""

Call = Callable[[bytes], object]
AsyncCall = Callable[[bytes], Awaitable[object]]
FAILURES: Final = (grpc.RpcError, CallFailed, OSError, TimeoutError)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("target")
    parser.add_argument("images", type=Path)
    parser.add_argument("clients", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--timeout-s", type=float, default=60)
    parser.add_argument("--oip", metavar="MODEL")
    parser.add_argument("--http", metavar="PATH")
    options = parser.parse_args()
    files = [file.read_bytes() for file in sorted(options.images.iterdir())]
    load = _Load(itertools.cycle([_request(options, data) for data in files]), options.seconds)
    if options.clients == 1:
        _alone(load, options)
    else:
        asyncio.run(_together(load, options))
    print(json.dumps(load.report()))


def _request(options: argparse.Namespace, image: bytes) -> bytes:
    if options.http:
        return post(options.http, image)
    if options.oip:
        return _infer(options.oip, image)
    return pb.ClassifyRequest(image=image).SerializeToString()


def _infer(model: str, image: bytes) -> bytes:
    """One image, to be answered with what a Classify call is."""
    request = oip.ModelInferRequest(model_name=model)
    request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(struct.pack("<I", len(image)) + image)
    for name in ("probabilities", "label"):
        request.outputs.add(name=name)
    return request.SerializeToString()


def _alone(load: "_Load", options: argparse.Namespace) -> None:
    """One client that blocks, as most do."""
    if options.http:
        connection = BlockingConnection(options.target, options.timeout_s)
        load.send(connection.call)
        connection.close()
        return
    with grpc.insecure_channel(options.target) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_method(options))
        load.send(lambda request: call(request, timeout=options.timeout_s))


async def _together(load: "_Load", options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        calls = [await _open(options, stack) for _ in range(options.clients if options.http else CHANNELS)]
        clients = (calls[index % len(calls)] for index in range(options.clients))
        await asyncio.gather(*(load.send_async(call) for call in clients))


async def _open(options: argparse.Namespace, stack: AsyncExitStack) -> AsyncCall:
    timeout_s = options.timeout_s
    if options.http:
        connection = await Connection.open(options.target)
        stack.callback(connection.close)
        return lambda request: connection.call(request, timeout_s)
    alone = [("grpc.use_local_subchannel_pool", 1)]
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(options.target, alone))
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_method(options))
    return lambda request: call(request, timeout=timeout_s)


def _method(options: argparse.Namespace) -> str:
    return INFER if options.oip else CLASSIFY


class _Load:
    """What is sent, for how long, and what came back."""

    def __init__(self, requests: Iterator[bytes], seconds: float) -> None:
        self._requests = requests
        self._cpu_s = time.process_time()
        self._begin = time.perf_counter() + WARM_UP_S
        self._end = self._begin + seconds
        self._latencies: list[float] = []
        self._answered = 0
        self._errors: Counter[str] = Counter()

    def send(self, call: Call) -> None:
        while self._goes_on(started := time.perf_counter()):
            try:
                call(next(self._requests))
            except FAILURES as error:
                self._note(error)
            else:
                self._note_answer(started)

    async def send_async(self, call: AsyncCall) -> None:
        while self._goes_on(started := time.perf_counter()):
            try:
                await call(next(self._requests))
            except FAILURES as error:
                self._note(error)
            else:
                self._note_answer(started)

    def _goes_on(self, now: float) -> bool:
        """Until the end; for some time more where no call was answered that was sent after the warm-up."""
        return now < self._end or (not self._latencies and now < self._end + LONGER_S)

    def _note(self, error: Exception) -> None:
        code = getattr(error, "code", lambda: None)()
        self._errors[code.name if isinstance(code, grpc.StatusCode) else str(error)] += 1

    def _note_answer(self, started: float) -> None:
        self._answered += 1
        if self._begin <= started:
            now = time.perf_counter()
            if not self._latencies:
                self._end = max(self._end, now)
            self._latencies.append((now - started) * 1000)

    def report(self) -> dict[str, object]:
        latencies = sorted(self._latencies)
        return {
            "images": len(latencies),
            "all_images": self._answered,
            "seconds": self._end - self._begin,
            "cpu_s": time.process_time() - self._cpu_s,
            "errors": dict(self._errors),
            **{f"p{percent}_ms": _quantile(latencies, percent) for percent in (50, 95, 99)},
        }


def _quantile(ascending: Sequence[float], percent: int) -> float:
    return ascending[min(len(ascending) - 1, len(ascending) * percent // 100)] if ascending else 0.0


if __name__ == "__main__":
    main()
