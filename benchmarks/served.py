"""A server in a process of its own, for as long as a benchmark needs it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.builds import THIS, Build
from benchmarks.processes import Program, running
from fovea.errors import Unavailable

LOG: Final = ("--log-format", "json", "--access-log-sample", "0")
START_PATIENCE_S: Final = 600
SETTLE_S: Final = 1.0
"""Until what starts beside the server has settled."""


@dataclass(frozen=True)
class RunningServer:
    """Its process and addresses."""

    program: Program
    target: str
    health_target: str
    http_target: str | None
    """None where this build does not speak HTTP."""
    ready_s: float
    """From its start until it was ready."""
    metrics_url: str

    @property
    def pid(self) -> int:
        return self.program.pid


@contextmanager
def running_server(models: Path, *flags: str, build: Build = THIS) -> Iterator[RunningServer]:
    """Ready when the block begins; ended by SIGTERM after it."""
    arguments = ("--models", str(models.resolve()), "--host", "127.0.0.1", *ports_of(build), *flags, *LOG)
    started = time.perf_counter()
    with running(build.command("server", *arguments), folder=build.folder) as program:
        ready = _ready(program)
        ready_s = time.perf_counter() - started
        time.sleep(SETTLE_S)
        port, health = (f"127.0.0.1:{ready[name]}" for name in ("port", "health_port"))
        http = f"127.0.0.1:{ready['http_port']}" if ready.get("http_port") else None
        metrics = f"http://127.0.0.1:{ready['metrics_port']}/metrics"
        yield RunningServer(program, port, health, http, ready_s, metrics)


def ports_of(build: Build) -> tuple[str, ...]:
    """Free ones; builds from before HTTP know no port of it."""
    http = ("--http-port", "0") if build == THIS else ()
    return ("--port", "0", *http, "--metrics-port", "0", "--health-port", "0")


def _ready(program: Program) -> dict[str, object]:
    try:
        line = program.wait_for('"ready"', START_PATIENCE_S)
    except Unavailable as error:
        raise Unavailable(f"the server did not start: {error}") from None
    fields: dict[str, object] = json.loads(line)
    return fields
