"""How soon a server is ready, how much memory it takes, and how much more while a new version takes over.

`python -m benchmarks.startup MODELS --threads N` shows where the seconds go.
"""

import argparse
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import torch

from benchmarks.builds import THIS, Build
from benchmarks.machine import describe_machine
from benchmarks.measuring import measure
from benchmarks.process_tree import proportional_bytes
from benchmarks.processes import Program, run
from benchmarks.served import running_server
from fovea.cpus import available_cpus
from fovea.errors import Unavailable

RELOAD_PATIENCE_S: Final = 300
LOOK_EVERY_S: Final = 0.05
CALLERS: Final = 16
CALLED_S: Final = 1.0
REPLACED: Final = "replaced version is closed"
"""The server's last line of a reload."""


def startup(models: Path, threads: int, build: Build = THIS) -> tuple[float, int]:
    """Seconds until a server with so many threads is ready, and then the PSS of its processes, in bytes."""
    with running_server(models, "--threads", str(threads), build=build) as server:
        return server.ready_s, proportional_bytes(server.pid)


@dataclass(frozen=True)
class ModelsPss:
    """PSS of all of a server's processes, in bytes."""

    ready: int
    called: int
    """After calls to each of its models."""
    anonymous: int
    """Of that, what is not backed by a file, as weights are."""


def pss_with_models(models: Sequence[Path], threads: int, images: Path) -> ModelsPss:
    """Of a server that has these models; it is called with the images, by ModelInfer, which names a model."""
    others = [word for each in models[1:] for word in ("--models", str(each.resolve()))]
    with running_server(models[0], "--threads", str(threads), *others) as server:
        ready = proportional_bytes(server.pid)
        for each in models:
            measure(server.pid, server.target, images, CALLERS, CALLED_S, "--oip", each.name)
        pid = server.pid
        return ModelsPss(ready, proportional_bytes(pid), proportional_bytes(pid, "Pss_Anon"))


def parts(models: Path, threads: int) -> Iterator[tuple[str, float]]:
    """What the server says at debug level as it starts, and the seconds since what it said before."""
    with running_server(models, "--threads", str(threads), "--log-level", "debug") as server:
        lines = [json.loads(line) for line in server.program.log if line.startswith("{")]
    times = [datetime.fromisoformat(line["time"]).timestamp() for line in lines]
    last = times[[line["message"] for line in lines].index("ready")] - server.ready_s
    for line, now in zip(lines, times, strict=True):
        yield line["message"], now - last
        last = now
        if line["message"] == "ready":
            return


def reload_bytes(
    models: Path, threads: int, publish: Callable[[Path], object], build: Build = THIS
) -> tuple[int, int]:
    """What a reload adds to the PSS of all processes: at its highest, and when the old version is gone.

    `publish` puts the next version into the models folder that it is given, a copy.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(models, Path(scratch) / models.name))
        with running_server(copy, "--threads", str(threads), build=build) as server:
            before = proportional_bytes(server.pid)
            publish(copy)
            os.kill(server.pid, signal.SIGHUP)  # it looks at once
            highest = _highest_until_replaced(server.program)
            return highest - before, proportional_bytes(server.pid) - before


def _highest_until_replaced(program: Program) -> int:
    highest, until = 0, time.monotonic() + RELOAD_PATIENCE_S
    while not any(REPLACED in line for line in program.log):
        if time.monotonic() > until or program.has_ended():
            raise Unavailable(f"the server did not take the new version: {program.last_lines()}")
        highest = max(highest, proportional_bytes(program.pid))
        time.sleep(LOOK_EVERY_S)
    return highest


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("models", type=Path, help="a models folder, as the server takes it")
    parser.add_argument("--threads", type=int, default=available_cpus(), help="the server's")
    arguments = parser.parse_args()
    print(describe_machine(torch.device("cpu"), arguments.threads))
    for said, seconds in parts(arguments.models, arguments.threads):
        print(f"{seconds:8.3f} s  {said}")


if __name__ == "__main__":
    run(main)
