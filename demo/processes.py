"""Fovea's programs as child processes of the demo."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from fovea.errors import Unavailable

STOP_WITHIN_S = 60


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready: where it listens, and how it is stopped."""

    process: subprocess.Popen[str]
    target: str
    log: Path

    def stop(self) -> None:
        """Sends SIGTERM and waits for the drain. Raises Unavailable when it does not end with 0."""
        self.process.send_signal(signal.SIGTERM)
        if (code := self.process.wait(STOP_WITHIN_S)) != 0:
            raise Unavailable(f"the server ended with exit code {code} after SIGTERM: see {self.log}")


def run_program(module: str, *arguments: str, expected: int = 0) -> None:
    """Runs `python -m module` on this terminal. Raises Unavailable when it does not end as `expected`."""
    command = [sys.executable, "-m", module, *arguments]
    code = subprocess.run(command, env=_environment(), check=False).returncode
    if code != expected:
        raise Unavailable(f"`python -m {module} {arguments[0]}` ended with exit code {code}")


@contextlib.contextmanager
def running_server(log: Path, *arguments: str) -> Iterator[RunningServer]:
    """Starts `python -m server` on free ports and waits until it is ready; its log goes to `log`.

    Raises Unavailable when it ends before it is ready. It is not left running, whatever happens.
    """
    ports = ["--host", "127.0.0.1", "--port", "0", "--no-http", "--metrics-port", "0", "--health-port", "0"]
    command = [sys.executable, "-m", "server", *arguments, *ports, "--log-format", "json"]
    with subprocess.Popen(command, env=_environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            ready = _wait_until_ready(process, log)
            yield RunningServer(process, f"127.0.0.1:{ready['port']}", log)
        finally:
            process.kill()


def _wait_until_ready(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    assert process.stderr is not None  # noqa: S101  it is a pipe
    outcome: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    threading.Thread(target=_copy_log, args=(process.stderr, log, outcome), daemon=True).start()
    ready = outcome.get()
    if ready is None:
        raise Unavailable(f"the server ended with exit code {process.wait()} before it was ready: see {log}")
    return ready


def _copy_log(stderr: IO[str], log: Path, outcome: SimpleQueue[dict[str, Any] | None]) -> None:
    """Copies the log to its file and passes on the ready line, or None at the end."""
    with log.open("w") as file:
        for line in stderr:
            file.write(line)
            file.flush()
            with contextlib.suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if entry.get("message") == "ready":
                    outcome.put(entry)
    outcome.put(None)


def _environment() -> dict[str, str]:
    """Ours without the user's FOVEA_ variables: the demo shows the defaults."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("FOVEA_")}
