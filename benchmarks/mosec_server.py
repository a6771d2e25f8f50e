"""mosec in a process of its own, from `.venv-mosec`, which `make .venv-mosec/.ready` makes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.builds import ROOT
from benchmarks.http_calls import post
from benchmarks.peer_server import TIMEOUT_S, PeerServer, python_in
from benchmarks.processes import running
from benchmarks.triton_server import free_ports

ENVIRONMENT: Final = ROOT / ".venv-mosec"
PATH: Final = "/inference"


def python_of_mosec() -> Path:
    """Raises Unavailable, with what to run, where there is no such environment."""
    return python_in(ENVIRONMENT, "mosec")


@contextmanager
def running_mosec(
    models: Path, scratch: Path, workers: int, max_batch_size: int, image: bytes
) -> Iterator[PeerServer]:
    """Ready when the block begins: every worker is up, and an image was answered."""
    (port,) = free_ports(1)
    flags = ("--address", "127.0.0.1", "--port", str(port), "--timeout", str(1000 * TIMEOUT_S))
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
        server = PeerServer("mosec", program, f"127.0.0.1:{port}")
        server.wait_until(lambda: _workers_up(server) == workers and server.answers(post(PATH, image)))
        yield server


def _workers_up(server: PeerServer) -> int:
    return sum("socket connected to" in line for line in server.program.log)
