"""NVIDIA's tritonserver in a process of its own, from the wheel nvidia-pytriton in `.venv-triton`.

`make .venv-triton/.ready` makes that environment, whose Python is also the one that runs the models.
"""

import os
import queue
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
ENVIRONMENT: Final = ROOT / ".venv-triton"
PROJECT_PYTHON: Final = ROOT / ".venv" / "bin" / "python"
PATIENCE_S: Final = 60


@contextmanager
def running_triton(
    models: Path, scratch: Path, *flags: str, follows: bool = False
) -> Iterator["TritonServer"]:
    """Serves what `python -m server.triton` lays out with these flags; ready when the block begins."""
    server = TritonServer(models, scratch)
    server.lay_out(*flags)
    with server.running(follows=follows):
        server.wait_for("Started GRPCInferenceService")
        yield server


class TritonServer:
    """A server and its model repository, both below `scratch`."""

    def __init__(self, models: Path, scratch: Path) -> None:
        self._models = models
        self._scratch = scratch
        self.repository = scratch / "repository"
        self._log = scratch / "log"
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.log: list[str] = []
        self._http_port, self._port = _free_ports(2)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def lay_out(self, *flags: str) -> None:
        """As a person would, with the project's own Python."""
        words = ["--models", str(self._models), "--repository", str(self.repository), *flags]
        subprocess.run(
            [PROJECT_PYTHON, "-m", "server.triton", *words], cwd=ROOT, check=True, capture_output=True
        )

    @contextmanager
    def running(self, *, follows: bool = False) -> Iterator[None]:
        """From the start of the process to its end, by SIGTERM. It may look for changes each second.

        Then it loads a version twice, the second time for the bytecode that Python writes beside it.
        """
        mode = ("poll", "--repository-poll-secs", "1") if follows else ("none",)
        self._process = subprocess.Popen(
            [*self._command(), "--model-control-mode", *mode],
            cwd=self._place_of_fovea_alone(),
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        try:
            yield
        finally:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE_S)
            finally:
                self._process.kill()
                reader.join(PATIENCE_S)

    def wait_for(self, text: str) -> str:
        """The next line of the log with this text."""
        while (line := self._lines.get(timeout=PATIENCE_S)) is not None:
            if text in line:
                return line
        raise AssertionError(f"tritonserver ended without saying {text!r}:\n{''.join(self.log)}")

    def _command(self) -> list[str]:
        return [
            str(_tritonserver() / "bin" / "tritonserver"),
            *("--model-repository", str(self.repository)),
            *("--backend-directory", str(_backends(self._scratch))),
            *("--http-address", "127.0.0.1", "--http-port", str(self._http_port)),
            *("--grpc-address", "127.0.0.1", "--grpc-port", str(self._port)),
            *("--allow-metrics", "false", "--exit-on-error", "false"),
        ]

    def _place_of_fovea_alone(self) -> Path:
        """The models import from the working folder: `fovea` is there, as if its wheel were installed."""
        place = self._scratch / "wheel"
        place.mkdir(exist_ok=True)
        (place / "fovea").unlink(missing_ok=True)
        (place / "fovea").symlink_to(ROOT / "fovea")
        return place

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line)
            self._lines.put(line)
        self._lines.put(None)


def _tritonserver() -> Path:
    folder = next(ENVIRONMENT.glob("lib/python3*/site-packages/pytriton/tritonserver"), None)
    if folder is None:
        raise SystemExit(f"there is no tritonserver in {ENVIRONMENT}: `make .venv-triton/.ready` brings one")
    return folder


def _backends(scratch: Path) -> Path:
    """The python backend with its stub for this Python; the stub finds its libraries beside the real file."""
    backend = scratch / "backends" / "python"
    if not backend.exists():
        shutil.copytree(_tritonserver() / "backends" / "python", backend)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        name = "triton_python_backend_stub"
        (backend / name).symlink_to(_tritonserver() / "python_backend_stubs" / python / name)
    return backend.parent


def _environment() -> dict[str, str]:
    """The stub takes the Python that is first in PATH, and that Python's library where it has one."""
    return os.environ | {
        "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
    }


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
