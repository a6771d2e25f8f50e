"""Starts trainings of several ranks: processes that meet, or one that starts the others."""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.programs import Program

UNRELEASED = "tests.trainer.ranks.unreleased"
STILL = "tests.trainer.ranks.still"
RELEASING = "tests.trainer.ranks.releasing"


def options(data: Path, root: Path, **changes: object) -> list[str]:
    """Of a small and quick training: a few digits at 32 pixels."""
    given: dict[str, object] = {
        "data": data,
        "models": root / "models",
        "runs": root / "runs",
        "cache_dir": root / "cache",
        "run_id": "a",
        "arch": "shufflenet_v2_x0_5",
        "weights": "none",
        "size": 32,
        "resize": 32,
        "batch_size": 8,
        "lr": 1e-2,
        "device": "cpu",
        "threads": 1,
        "ranks_patience_s": 60,
        **changes,
    }
    return [word for name, value in given.items() for word in ("--" + name.replace("_", "-"), str(value))]


def start_rank(
    rank: int, world: int, port: int, *arguments: str, module: str = UNRELEASED, cwd: Path | None = None
) -> Program:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment = {**os.environ, **place, "RANK": str(rank), "WORLD_SIZE": str(world)}
    return _start(*arguments, module=module, env=environment, cwd=cwd)


def start_ranks(world: int, *arguments: str, module: str = UNRELEASED) -> list[Program]:
    port = free_port()
    return [start_rank(rank, world, port, *arguments, module=module) for rank in range(world)]


def start_alone(*arguments: str, module: str = UNRELEASED) -> Program:
    return _start(*arguments, module=module)


def _start(*arguments: str, **options: Any) -> Program:
    return Program("trainer", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def ends(processes: list[Program], within_s: float = 150) -> list[tuple[int, str]]:
    """Of each the exit code, and what it wrote to stderr. One that goes on fails the test; all are killed."""
    try:
        return [(process.wait(within_s), process.communicate()[1]) for process in processes]
    finally:
        for process in processes:
            process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
