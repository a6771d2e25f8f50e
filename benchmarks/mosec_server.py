"""mosec in a process of its own, from `.venv-mosec`, which `make .venv-mosec/.ready` makes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.builds import ROOT
from benchmarks.http_calls import BlockingConnection, CallFailed, post
from benchmarks.processes import Program, running
from benchmarks.triton_server import free_ports
from fovea.errors import Unavailable

ENVIRONMENT: Final = ROOT / ".venv-mosec"
PATH: Final = "/inference"
TIMEOUT_MS: Final = 60_000
"""Of a call: as long as the load waits."""
START_PATIENCE_S: Final = 120
LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True)
class MosecServer:
    """Its process and address."""

    program: Program
    target: str

    @property
    def pid(self) -> int:
        return self.program.pid


def python_of_mosec() -> Path:
    """Raises Unavailable, with what to run, where there is no such environment."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".ready").exists():
        raise Unavailable(f"there is no mosec in {ENVIRONMENT}: run make .venv-mosec/.ready")
    return python


@contextmanager
def running_mosec(
    models: Path, scratch: Path, workers: int, max_batch_size: int, image: bytes
) -> Iterator[MosecServer]:
    """Ready when the block begins: every worker is up, and an image was answered."""
    (port,) = free_ports(1)
    flags = ("--address", "127.0.0.1", "--port", str(port), "--timeout", str(TIMEOUT_MS))
    service = ROOT / "benchmarks" / "mosec_service.py"
    command: list[str | Path] = [
        python_of_mosec(),
        service,
        *flags,
        "--path",
        scratch / f"mosec-{max_batch_size}",
    ]
    numbers = {"WORKERS": str(workers), "MAX_BATCH_SIZE": str(max_batch_size)}
    own = {"MODELS": str(models), "PYTHONPATH": str(ROOT), **numbers}
    with running(command, environment=os.environ | own) as program:
        server = MosecServer(program, f"127.0.0.1:{port}")
        _wait_for_answers(server, workers, image)
        yield server


def _wait_for_answers(server: MosecServer, workers: int, image: bytes) -> None:
    until = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < until:
        if server.program.has_ended():
            raise Unavailable(f"mosec ended at its start: {server.program.last_lines()}")
        up = sum("socket connected to" in line for line in server.program.log)
        if up == workers and _answers(server.target, image):
            return
        time.sleep(LOOK_EVERY_S)
    raise Unavailable(f"mosec did not answer in {START_PATIENCE_S} s: {server.program.last_lines()}")


def _answers(target: str, image: bytes) -> bool:
    try:
        connection = BlockingConnection(target, TIMEOUT_MS / 1000)
        try:
            connection.call(post(PATH, image))
        finally:
            connection.close()
    except (CallFailed, OSError):
        return False
    return True
