"""A training step's CPU seconds with channels first and with channels last, in turns in one run.

python -m benchmarks.memory_formats [--arch NAME] [--sizes 128,224] [--batch-size N] [--rounds N]
    [--threads N]

Prints, for each size, the medians and channels first / last of each round's pair: above 1, last is faster.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Final

import torch
from torch.nn import functional

from benchmarks.arguments import positive_int
from benchmarks.machine import describe_machine
from trainer.network.model import adamw, build_network
from trainer.network.precision import choose_precision

CLASSES: Final = 37


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="resnet34")
    parser.add_argument("--sizes", default="128,224")
    parser.add_argument("--batch-size", type=positive_int, default=16)
    parser.add_argument("--rounds", type=positive_int, default=6)
    parser.add_argument("--threads", type=positive_int, default=1)
    given = parser.parse_args()
    print(describe_machine(torch.device("cpu"), given.threads))
    for size in map(positive_int, given.sizes.split(",")):
        first, last = _measure(given.arch, size, given.batch_size, given.rounds, given.threads)
        ratio = median(one / other for one, other in zip(first, last, strict=True))
        print(
            f"{given.arch} at {size}: {median(first):.3f} s with channels first, {median(last):.3f} s last, "
            f"{ratio:.3f}",
            flush=True,
        )


def _measure(
    arch: str, size: int, batch_size: int, rounds: int, threads: int
) -> tuple[list[float], list[float]]:
    """Seconds of CPU a step, of each round, after one that warms up."""
    steps = {switch: _training_step(arch, size, batch_size, threads, switch) for switch in ("off", "on")}
    seen: dict[str, list[float]] = {switch: [] for switch in steps}
    for number in range(rounds + 1):
        for switch in list(steps) if number % 2 else list(reversed(steps)):
            started = time.process_time()
            steps[switch]()
            seen[switch].append(time.process_time() - started)
    return seen["off"][1:], seen["on"][1:]


def _training_step(arch: str, size: int, batch_size: int, threads: int, switch: str) -> Callable[[], None]:
    precision = choose_precision("cpu", threads, "on" if switch == "on" else "off")
    torch.manual_seed(0)
    network = build_network(arch, CLASSES, size)
    network.to(memory_format=precision.memory_format)
    optimizer = adamw(network, 1e-4, 1e-3)
    pixels = torch.randint(0, 256, (batch_size, size, size, 3)).float()
    targets = torch.randint(0, CLASSES, (batch_size,))

    def step() -> None:
        loss = functional.cross_entropy(network(pixels), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
