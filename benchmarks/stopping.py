"""How soon a training ends after SIGTERM, with its checkpoint saved.

    python -m benchmarks.stopping

Runs `python -m trainer train` with its default recipe (resnet34, 224 px, batch 64) on made-up photographs, as
a process of its own, and sends SIGTERM at random moments after the first epoch. The step that is under way is
finished first.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.machine import describe_machine
from benchmarks.photographs import write_photographs
from fovea.cpus import available_cpus

OPTIONS = ("--weights", "none", "--lr", "1e-3", "--epochs", "1000")
LATEST_S = 12
"""Some steps, so that the signal comes anywhere in one."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stopping", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--times", type=int, default=6)
    options = parser.parse_args()
    print(describe_machine(torch.device("cpu"), available_cpus()))
    with tempfile.TemporaryDirectory() as work:
        folder = write_photographs(Path(work) / "photographs", 192, 2, 500, 375)
        seconds = [_stop_one(folder, Path(work), f"run-{number}") for number in range(options.times)]
    print("seconds from SIGTERM to the end: " + ", ".join(f"{s:.1f}" for s in sorted(seconds)))


def _stop_one(folder: Path, work: Path, run_id: str) -> float:
    """Seconds from the signal to the end of the process, whose checkpoint is there then."""
    places = {"data": folder, "models": work / "models", "runs": work / "runs", "cache-dir": work / "cache"}
    flags = [word for name, place in places.items() for word in (f"--{name}", str(place))]
    command = [sys.executable, "-m", "trainer", "train", *flags, "--run-id", run_id, *OPTIONS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first epoch is done
        time.sleep(random.uniform(0, LATEST_S))
        started = time.monotonic()
        process.terminate()
        process.communicate()
        seconds = time.monotonic() - started
    if process.returncode != 143 or not (work / "runs" / run_id / "checkpoint.pt").is_file():
        sys.exit(f"the training ended with {process.returncode}")
    return seconds


if __name__ == "__main__":
    main()
