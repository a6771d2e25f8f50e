"""NVIDIA's tritonserver in a process of its own, from the wheel nvidia-pytriton in `.venv-triton`.

`make .venv-triton/.ready` makes that environment, whose Python is also the one that runs the models.
"""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.builds import ROOT
from benchmarks.processes import running
from fovea.errors import Unavailable

ENVIRONMENT: Final = ROOT / ".venv-triton"
PROJECT_PYTHON: Final = ROOT / ".venv" / "bin" / "python"


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
        self._http_port, self._port = free_ports(2)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def http_target(self) -> str:
        return f"127.0.0.1:{self._http_port}"

    @property
    def pid(self) -> int:
        return self._program.pid

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
        command = [*self._command(), "--model-control-mode", *mode]
        with running(command, folder=self._place_of_fovea_alone(), environment=_environment()) as program:
            self._program = program
            yield

    def wait_for(self, text: str) -> str:
        """The next line of the log with this text. Raises Unavailable where there is none."""
        return self._program.wait_for(text)

    @property
    def log(self) -> list[str]:
        return self._program.log

    def _command(self) -> list[str]:
        return [
            str(tritonserver() / "bin" / "tritonserver"),
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


def tritonserver() -> Path:
    """Raises Unavailable, with what to run, where there is none."""
    folder = next(ENVIRONMENT.glob("lib/python3*/site-packages/pytriton/tritonserver"), None)
    if folder is None:
        raise Unavailable(f"there is no tritonserver in {ENVIRONMENT}: run make .venv-triton/.ready")
    return folder


def _backends(scratch: Path) -> Path:
    """The python backend with its stub for this Python; the stub finds its libraries beside the real file."""
    backend = scratch / "backends" / "python"
    if not backend.exists():
        shutil.copytree(tritonserver() / "backends" / "python", backend)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        name = "triton_python_backend_stub"
        (backend / name).symlink_to(tritonserver() / "python_backend_stubs" / python / name)
    return backend.parent


def _environment() -> dict[str, str]:
    """The stub takes the Python that is first in PATH, and that Python's library where it has one."""
    return os.environ | {
        "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
    }


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
