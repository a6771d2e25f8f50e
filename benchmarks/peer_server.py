"""A server of somebody else that speaks HTTP, in a process and an environment of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.http_calls import BlockingConnection, CallFailed
from benchmarks.processes import Program
from fovea.errors import Unavailable

TIMEOUT_S: Final = 60
"""Of a call: as long as the load waits."""
START_PATIENCE_S: Final = 120
LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True)
class PeerServer:
    """Its process and address."""

    name: str
    program: Program
    target: str

    @property
    def pid(self) -> int:
        return self.program.pid

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Raises Unavailable where it ends before, or takes too long."""
        until = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < until:
            if self.program.has_ended():
                raise Unavailable(f"{self.name} ended at its start: {self.program.last_lines()}")
            if ready():
                return
            time.sleep(LOOK_EVERY_S)
        raise Unavailable(f"{self.name} did not answer in {START_PATIENCE_S} s: {self.program.last_lines()}")

    def answers(self, *requests: bytes) -> bool:
        """Whether it has answered each of them with 200, on one connection."""
        try:
            connection = BlockingConnection(self.target, TIMEOUT_S)
            try:
                for request in requests:
                    connection.call(request)
            finally:
                connection.close()
        except (CallFailed, OSError):
            return False
        return True


def python_in(environment: Path, name: str) -> Path:
    """Raises Unavailable, with what to run, where there is no such environment."""
    if not (environment / ".ready").exists():
        raise Unavailable(f"there is no {name} in {environment}: run make .venv-{name}/.ready")
    return environment / "bin" / "python"
