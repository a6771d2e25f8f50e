"""The server beside NVIDIA's: the same bundle, the same images, the same load, in turns in one run.

Triton runs what `python -m server.triton` lays out, a process with the model for each core. Both are called
by the Open Inference Protocol, ours by Classify as well. `make .venv-triton/.ready` sets Triton up.
"""

import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.measuring import Served, measure
from benchmarks.served import running_server
from benchmarks.triton_server import running_triton
from fovea.cpus import available_cpus

CLIENTS: Final = (1, 16, 64)
ROUNDS: Final = 3
"""In which the servers take turns, so that what else the machine does meets all of them."""

TRITON, FOVEA, CLASSIFY = "Triton, ModelInfer", "Fovea, ModelInfer", "Fovea, Classify"
COLUMNS: Final = {"images/s": "images_s", "p50 ms": "p50_ms", "p99 ms": "p99_ms", "per CPU s": "images_cpu_s"}
"""As they are called -> of `Served`; the last is images per CPU second of the server's processes."""


def compare_with_triton(name: str, models: Path, images: Path, seconds: float) -> None:
    """Prints medians, and how many times Triton's ours are. `name` is the model's."""
    cores = available_cpus()
    print(f"\n{name}, Triton with {cores} processes\n")
    print(f"| clients | server, call | {' | '.join(COLUMNS)} | errors |\n|---:|---|---:|---:|---:|---:|---:|")
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_server(models) as fovea,
        running_triton(models, Path(scratch), "--instances", str(cores)) as triton,
    ):
        for clients in CLIENTS:
            load = (images, clients, seconds / ROUNDS)
            seen: dict[str, list[Served]] = {TRITON: [], FOVEA: [], CLASSIFY: []}
            for _ in range(ROUNDS):
                seen[TRITON].append(measure(triton.pid, triton.target, *load, "--oip", name))
                seen[FOVEA].append(measure(fovea.pid, fovea.target, *load, "--oip", name))
                seen[CLASSIFY].append(measure(fovea.pid, fovea.target, *load))
            for call, rounds in seen.items():
                print(f"| {clients} | {call} | {_medians(rounds)} |")
            for call in (FOVEA, CLASSIFY):
                print(f"| {clients} | {call} / Triton | {_ratios(seen[call], seen[TRITON])} |", flush=True)


def _medians(rounds: list[Served]) -> str:
    numbers = [f"{median(getattr(seen, name) for seen in rounds):.1f}" for name in COLUMNS.values()]
    return " | ".join([*numbers, str(sum(sum(seen.errors.values()) for seen in rounds))])


def _ratios(ours: list[Served], theirs: list[Served]) -> str:
    """Of each round; then the median."""
    pairs = list(zip(ours, theirs, strict=True))
    ratios = (median(getattr(a, name) / getattr(b, name) for a, b in pairs) for name in COLUMNS.values())
    return " | ".join([*(f"{ratio:.2f}" for ratio in ratios), ""])
