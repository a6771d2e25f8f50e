"""What ranks bring on a CPU: as many of one thread as there are cores, against one process with all threads.

    python -m benchmarks.ranks

Both train the same network on the same images in the same batches. They take turns, an epoch each, so that
their ratio outlasts a noisy machine; who does not train waits. The third turn shows the limit: processes that
take a rank's share of the images and of a batch each, and know nothing of each other. No way to average
gradients makes ranks faster than that. Says too what a rank sends from one step to the next, by the kernel's
counters of its own sockets, beside the size of the gradients.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.arguments import positive_int
from benchmarks.machine import describe_machine
from benchmarks.photographs import write_photographs
from benchmarks.processes import run
from benchmarks.training_options import settings_of
from fovea.cpus import available_cpus
from fovea.errors import Unavailable
from trainer.config import TrainSettings

CLASSES: Final = 10


@dataclass(frozen=True)
class Epoch:
    """Of all processes together."""

    images_s: float
    """of the steps alone"""
    cpu_ms: float
    """an image, with the held-out images and the checkpoint"""
    sent_bytes: float
    """by a rank from one step to the next"""


def main() -> None:
    options = _parse()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        work, count = Path(scratch), options.ranks
        whole, share = (
            _settings(options, work, options.images // part, options.batch_size // part)
            for part in (1, count)
        )
        ways = (
            _training(whole.model_copy(update={"threads": count}), work / "one", [{}]),
            _training(whole, work / "several", _places(count)),
            _training(share, work / "apart", [{}] * count),
        )
        one, several, apart = (stack.enter_context(way) for way in ways)
        rounds = [(one.epoch(), several.epoch(), apart.epoch()) for _ in range(options.rounds)]
    _print(options, one, rounds)


class Training:
    """Processes that wait to be told to train an epoch."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"], *, are_ranks: bool) -> None:
        self._processes = processes
        starts = self._answers()
        self.images: float = starts[0]["images"] if are_ranks else sum(each["images"] for each in starts)
        self.gradient_bytes: float = starts[0]["gradient_bytes"]

    def epoch(self) -> Epoch:
        for process in self._processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        seen = self._answers()
        return Epoch(
            self.images / max(each["train_s"] for each in seen),
            1000 * sum(each["cpu_s"] for each in seen) / self.images,
            max(each["sent_bytes"] for each in seen),
        )

    def _answers(self) -> list[dict[str, Any]]:
        lines = [process.stdout.readline() if process.stdout else "" for process in self._processes]
        if "" in lines:
            raise Unavailable("a process of the training has ended; what it said is above")
        return [json.loads(line) for line in lines]


@contextmanager
def _training(
    settings: TrainSettings, folder: Path, places: Sequence[Mapping[str, str]]
) -> Iterator[Training]:
    """A process for each place among the ranks, which is empty for one that is alone. They end with it, or
    when this one is gone: there is no line more to read for them."""
    are_ranks = any(places)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(_process(settings, folder if are_ranks else folder / str(number), place))
            for number, place in enumerate(places)
        ]
        try:
            yield Training(processes, are_ranks=are_ranks)
        finally:
            for process in processes:
                process.kill()


def _process(settings: TrainSettings, folder: Path, place: Mapping[str, str]) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "benchmarks.rank", settings.model_dump_json(), str(folder)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", **place}
    return subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _places(count: int) -> list[dict[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return [{**common, "RANK": str(rank)} for rank in range(count)]


def _settings(options: argparse.Namespace, work: Path, images: int, batch_size: int) -> TrainSettings:
    """Of one thread a process."""
    photographs = write_photographs(work / f"photographs-{images}", images, CLASSES, 500, 375)
    settings = settings_of(options, photographs, work)
    return settings.model_copy(update={"threads": 1, "batch_size": batch_size})


def _print(options: argparse.Namespace, one: Training, rounds: Sequence[tuple[Epoch, ...]]) -> None:
    print(
        f"{options.arch} at {options.size} px, batch {options.batch_size}, {one.images} images an "
        f"epoch, {options.rounds} rounds"
    )
    print(describe_machine(torch.device("cpu"), options.ranks))
    print("\n| | images/s | CPU ms an image |\n|---|---:|---:|")
    names = (
        f"one process, {options.ranks} threads",
        f"{options.ranks} ranks of one thread",
        f"the limit: {options.ranks} processes of one thread that share nothing",
    )
    for name, epochs in zip(names, zip(*rounds, strict=True), strict=True):
        print(f"| {name} | {_median(epochs, 'images_s'):.1f} | {_median(epochs, 'cpu_ms'):.1f} |")
    print()
    for way, name in ((1, "ranks"), (2, "the limit")):
        for title, field in (("images/s", "images_s"), ("CPU ms", "cpu_ms")):
            ratios = [getattr(epochs[way], field) / getattr(epochs[0], field) for epochs in rounds]
            spread = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"{title}, {name} / one process: {statistics.median(ratios):.2f} (median of {spread})")
    sent, size = _median([epochs[1] for epochs in rounds], "sent_bytes"), one.gradient_bytes
    print(
        f"a rank sends {sent / 1e6:.2f} MB a step, {sent / size:.3f} of the gradients ({size / 1e6:.2f} MB)"
    )


def _median(epochs: Sequence[Epoch], field: str) -> float:
    return float(statistics.median(getattr(epoch, field) for epoch in epochs))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ranks", description="What ranks bring on a CPU, against threads."
    )
    parser.add_argument("--ranks", type=positive_int, default=max(2, available_cpus()))
    parser.add_argument("--arch", default="resnet34")
    parser.add_argument("--images", type=positive_int, default=216, help="of which a tenth is held out")
    parser.add_argument("--size", type=positive_int, default=224, help="what the model sees, in pixels")
    parser.add_argument("--batch-size", type=positive_int, default=64, help="of all ranks together")
    parser.add_argument("--rounds", type=positive_int, default=3)
    parser.set_defaults(device="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
