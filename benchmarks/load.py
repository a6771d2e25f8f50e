"""Load on a server, from a process of its own: each client sends its next image when the last is answered.

    python -m benchmarks.load TARGET IMAGES CLIENTS SECONDS [--timeout-s 30] [--oip MODEL]

By Classify or, with `--oip`, by ModelInfer of the Open Inference Protocol, to the model of that name.
Prints JSON: answered images (all, and those after the first second), seconds, errors by status code, and
latencies in milliseconds.
"""

import argparse
import asyncio
import itertools
import json
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc

from fovea.oip import open_inference_pb2 as oip
from fovea.v1 import classify_pb2 as pb

CLASSIFY = "/fovea.v1.Classifier/Classify"
INFER = "/inference.GRPCInferenceService/ModelInfer"
WARM_UP_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("target")
    parser.add_argument("images", type=Path)
    parser.add_argument("clients", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--timeout-s", type=float, default=60)
    parser.add_argument("--oip", metavar="MODEL")
    options = parser.parse_args()
    files = [file.read_bytes() for file in sorted(options.images.iterdir())]
    requests = [_infer(options.oip, data) if options.oip else _classify(data) for data in files]
    method = INFER if options.oip else CLASSIFY
    load = _Load(options.target, method, itertools.cycle(requests), options.timeout_s, options.seconds)
    if options.clients == 1:
        load.alone()
    else:
        asyncio.run(load.together(options.clients))
    print(json.dumps(load.report()))


def _classify(image: bytes) -> bytes:
    return pb.ClassifyRequest(image=image).SerializeToString()


def _infer(model: str, image: bytes) -> bytes:
    """One image, to be answered with what a Classify call is."""
    request = oip.ModelInferRequest(model_name=model)
    request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(struct.pack("<I", len(image)) + image)
    for name in ("probabilities", "label"):
        request.outputs.add(name=name)
    return request.SerializeToString()


class _Load:
    def __init__(
        self, target: str, method: str, requests: Iterator[bytes], timeout_s: float, seconds: float
    ) -> None:
        self._target = target
        self._method = method
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
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self._method)
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
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self._method)
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
