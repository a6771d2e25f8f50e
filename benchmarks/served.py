"""A server in a process of its own, for as long as a benchmark needs it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunningServer:
    """Its process and addresses."""

    pid: int
    target: str
    health_target: str


@contextmanager
def running_server(models: Path, *flags: str) -> Iterator[RunningServer]:
    """Ready when the block begins; ended by SIGTERM after it."""
    ports = ("--port", "0", "--metrics-port", "0", "--health-port", "0")
    command = [sys.executable, "-m", "server", "--models", str(models), "--host", "127.0.0.1", *ports, *flags]
    command += ["--log-format", "json", "--access-log-sample", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield _ready(process)
        finally:
            process.terminate()


def _ready(process: "subprocess.Popen[str]") -> RunningServer:
    lines = []
    for line in process.stderr or ():
        lines.append(line)
        if '"ready"' in line:
            ready = json.loads(line)
            time.sleep(1)  # until what starts beside it has settled
            addresses = (f"127.0.0.1:{ready[port]}" for port in ("port", "health_port"))
            return RunningServer(process.pid, *addresses)
    raise SystemExit("the server did not start:\n" + "".join(lines))
