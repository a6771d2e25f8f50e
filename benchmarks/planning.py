"""How fast a night is planned, and how much memory that takes, as the images become many.

    python -m benchmarks.planning
    python -m benchmarks.planning --keys 100000 1000000

Each step is a process of its own (see benchmarks.night). The second night finds every image as it was, so it
is planned against the rows of the first one, and scored by copying them. Keys come from memory: a bucket's
listing, 1,000 keys an answer, takes what the store takes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.machine import describe_machine
from benchmarks.serving_models import publish_tiny
from fovea.cpus import available_cpus


@dataclass(frozen=True)
class Step:
    """What one step of a night came to."""

    images: int
    carried: int
    shards: int
    seconds: float
    peak_bytes: int
    """Of resident memory."""

    @property
    def keys_per_s(self) -> float:
        return self.images / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planning", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000_000])
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu"), available_cpus()))
    print("\n| keys | step | keys/s | peak memory | carried |")
    print("|---:|---|---:|---:|---:|")
    for keys in options.keys:
        with tempfile.TemporaryDirectory() as work:
            publish_tiny(Path(work) / "models" / "tiny", Path(work) / "staging")
            _measure(keys, Path(work))


def _measure(keys: int, work: Path) -> None:
    models, output = work / "models" / "tiny", work / "output"
    _print("plan the first night", run_step("plan", models, output, "night-1", keys))
    run_step("score", models, output, "night-1", keys)
    _print("plan the second night", run_step("plan", models, output, "night-2", keys))
    _print("copy its rows and commit", run_step("score", models, output, "night-2", keys))


def run_step(step: str, models: Path, output: Path, run: str, keys: int) -> Step:
    """Plans a run over so many keys, or scores and commits it, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.night", step, str(models), str(output), run]
    result = subprocess.run([*command, "--keys", str(keys)], stdout=subprocess.PIPE, check=True)
    return Step(**json.loads(result.stdout))


def _print(what: str, step: Step) -> None:
    cells = [f"{step.images:,}", what, f"{step.keys_per_s:,.0f}", f"{step.peak_bytes / 1e6:,.0f} MB"]
    print(f"| {' | '.join(cells)} | {step.carried:,} |", flush=True)


if __name__ == "__main__":
    main()
