"""How soon a server is ready, how much memory it takes, and how much more while a new version takes over."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.builds import THIS, Build
from benchmarks.process_tree import proportional_bytes
from benchmarks.processes import Program
from benchmarks.served import running_server
from fovea.errors import Unavailable

RELOAD_PATIENCE_S: Final = 300
LOOK_EVERY_S: Final = 0.05
REPLACED: Final = "replaced version is closed"
"""The server's last line of a reload."""


def startup(models: Path, threads: int, build: Build = THIS) -> tuple[float, int]:
    """Seconds until a server with so many threads is ready, and then the PSS of its processes, in bytes."""
    with running_server(models, "--threads", str(threads), build=build) as server:
        return server.ready_s, proportional_bytes(server.pid)


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
