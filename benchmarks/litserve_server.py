"""LitServe in a process of its own, from `.venv-litserve`, which `make .venv-litserve/.ready` makes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.builds import ROOT
from benchmarks.http_calls import get, post
from benchmarks.peer_server import PeerServer, python_in
from benchmarks.processes import running
from benchmarks.triton_server import free_ports

ENVIRONMENT: Final = ROOT / ".venv-litserve"
PATH: Final = "/predict"
HEALTH: Final = "/health"
"""It answers 200 when every worker is up."""


def python_of_litserve() -> Path:
    """Raises Unavailable, with what to run, where there is no such environment."""
    return python_in(ENVIRONMENT, "litserve")


@contextmanager
def running_litserve(models: Path, workers: int, image: bytes) -> Iterator[PeerServer]:
    """Ready when the block begins: every worker is up, and an image was answered."""
    (port,) = free_ports(1)
    own = {"MODELS": str(models), "PYTHONPATH": str(ROOT), "WORKERS": str(workers)}
    command: list[str | Path] = [python_of_litserve(), ROOT / "benchmarks" / "litserve_service.py", str(port)]
    with running(command, environment=os.environ | own) as program:
        server = PeerServer("LitServe", program, f"127.0.0.1:{port}")
        server.wait_until(lambda: server.answers(get(HEALTH), post(PATH, image)))
        yield server
