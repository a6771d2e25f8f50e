"""Real servers for tests: a process of its own on free ports of 127.0.0.1.

Of another `python`, or with this one's name, it starts anew; else as tests.programs does.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests import programs

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60
FREE_PORTS = ("--port", "0", "--http-port", "0", "--metrics-port", "0", "--health-port", "0")


class ServerProcess:
    """A started `python -m server`. Its log is read as it comes, so that its pipe never fills up.

    Computes in one process where nothing else is said.
    """

    def __init__(self, models: Path | str, *flags: str, python: str | None = None) -> None:
        arguments = [
            *(("--models", str(models)) if "--model-root" not in flags else ()),
            *("--host", "127.0.0.1", "--log-format", "json"),
            *FREE_PORTS,
            *(("--threads", "1") if python is None and "--threads" not in flags else ()),
            *flags,
        ]
        options: dict[str, Any] = {"cwd": ROOT, "env": clean_environment(), "stderr": subprocess.PIPE}
        if python is None:
            self.process: subprocess.Popen[str] = programs.Program("server", *arguments, **options)
        else:
            command = server_command(*arguments, python=python)
            self.process = subprocess.Popen(command, text=True, **options)
        self.stderr: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._ready: dict[str, Any] | None = None

    @property
    def ready(self) -> dict[str, Any]:
        """The fields of the ready line; waits for it."""
        self._ready = self._ready or self.wait_for("ready")
        return self._ready

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.ready['port']}"

    @property
    def http_target(self) -> str:
        return f"127.0.0.1:{self.ready['http_port']}"

    @property
    def health_target(self) -> str:
        return f"127.0.0.1:{self.ready['health_port']}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.ready['metrics_port']}/metrics"

    def wait_for(self, message: str) -> dict[str, Any]:
        """The next entry of the log with this message."""
        while (line := self._lines.get(timeout=PATIENCE_S)) is not None:
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("message") == message:
                return dict(entry)
        raise AssertionError(f"the server ended without saying {message!r}:\n{''.join(self.stderr)}")

    def send(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def exit_code(self) -> int:
        """Waits for the end."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line)
            self._lines.put(line)
        self._lines.put(None)


@contextmanager
def started_server(models: Path | str, *flags: str, python: str | None = None) -> Iterator[ServerProcess]:
    """A server that may not be ready yet; ended by SIGTERM when the block is left."""
    server = ServerProcess(models, *flags, python=python)
    try:
        yield server
    finally:
        server.end()


@contextmanager
def running_server(models: Path | str, *flags: str, python: str | None = None) -> Iterator[ServerProcess]:
    """A server that is ready; ended by SIGTERM when the block is left."""
    with started_server(models, *flags, python=python) as server:
        assert server.ready
        yield server


def run_server(*arguments: str, python: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a server that is expected to end by itself; on free ports where nothing else is said.

    In a folder for temporary files of its own: what another test's server left, because it was killed, this
    one would remove and say so.
    """
    ports = {f"FOVEA_SERVE_{name}": "0" for name in ("PORT", "HTTP_PORT", "METRICS_PORT", "HEALTH_PORT")}
    with tempfile.TemporaryDirectory() as own:
        environment = {**clean_environment(), **ports, "TMPDIR": own}
        options: dict[str, Any] = {"timeout": PATIENCE_S, "cwd": ROOT, "env": environment}
        if python is None:
            return programs.run("server", *arguments, **options)
        command = server_command(*arguments, python=python)
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def server_command(*arguments: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "server", *arguments]


def clean_environment() -> dict[str, str]:
    """Ours without Fovea's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FOVEA_")}


def compute_processes(server: int) -> list[int]:
    """Of a server, which is a process's number; its template is none."""
    return processes(server, "fovea-compute")


@contextmanager
def held_up(server: ServerProcess) -> Iterator[None]:
    """Its compute processes do nothing inside the block: images stay in flight."""
    workers = compute_processes(server.process.pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)


def processes(server: int, name: str) -> list[int]:
    """Those that a server has started and that call themselves so."""
    pids = [
        pid for task in Path(f"/proc/{server}/task").glob("*/children") for pid in task.read_text().split()
    ]
    return [int(pid) for pid in pids if _name_of(pid) == name]


def _name_of(pid: str) -> str:
    """Empty where it has just ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
