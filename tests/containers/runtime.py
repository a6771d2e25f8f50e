"""Containers, run by runc as the kubelet has it run a pod's container."""

import json
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.containers.image import Image
from tests.containers.system_calls import default_system_calls

USER = 10001
PATIENCE_S = 120


@dataclass(frozen=True)
class Mount:
    """A folder of this machine, or without one a new file system in memory."""

    folder: Path | None = None
    read_only: bool = False

    def as_json(self, where: str) -> dict[str, Any]:
        if self.folder is None:
            options = ["nosuid", "nodev", "mode=2777", f"gid={USER}"]
            return {"destination": where, "type": "tmpfs", "source": "tmpfs", "options": options}
        options = ["rbind", "ro" if self.read_only else "rw"]
        return {"destination": where, "type": "bind", "source": str(self.folder), "options": options}


@dataclass(frozen=True)
class Container:
    """A container to be started: the words of its command, and what the kubelet gives it.

    As deploy/ has it everywhere: the user 10001 without capabilities or new privileges, a read-only root, the
    system calls that a runtime allows by default. On its network there is nobody else.
    """

    image: Image
    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, Mount] = field(default_factory=lambda: {"/tmp": Mount()})
    cpus: float | None = None
    memory_bytes: int | None = None

    def write_bundle(self, folder: Path) -> None:
        """The OCI runtime's config.json, from its own default."""
        subprocess.run(["runc", "spec", "--bundle", folder], check=True)
        spec = json.loads((folder / "config.json").read_text())
        spec["root"] = {"path": str(self.image.root), "readonly": True}
        spec["mounts"] += [mount.as_json(where) for where, mount in sorted(self.mounts.items())]
        environment = {**self.image.environment, **self.environment}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": USER, "gid": USER, "additionalGids": [USER]},
            "args": list(self.words),
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": self.image.config["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": True,
            "rlimits": [],
        }
        spec["linux"]["resources"] |= self._limits()
        spec["linux"]["seccomp"] = default_system_calls()
        (folder / "config.json").write_text(json.dumps(spec))

    def _limits(self) -> dict[str, Any]:
        limits: dict[str, Any] = {}
        if self.cpus:
            limits["cpu"] = {"period": 100_000, "quota": int(self.cpus * 100_000)}
        if self.memory_bytes:
            limits["memory"] = {"limit": self.memory_bytes}
        return limits


class Running:
    """A container that was started. Its program is process 1, as in a pod."""

    def __init__(self, container: Container, folder: Path) -> None:
        self.id = f"fovea-{uuid.uuid4().hex[:12]}"
        container.write_bundle(folder)
        self.process = subprocess.Popen(
            ["runc", "run", "--bundle", folder, self.id],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.output: list[str] = []

    def wait_for(self, **fields: object) -> dict[str, Any]:
        """The next line that is a JSON object with these fields."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)
            entry = json.loads(line) if line.startswith("{") else {}
            if fields.items() <= entry.items():
                return dict(entry)
        raise AssertionError(f"it ended without a line of {fields}:\n{''.join(self.output)}")

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As `kubectl exec` does, and docker for a health check."""
        return subprocess.run(
            ["runc", "exec", self.id, *words], capture_output=True, text=True, timeout=PATIENCE_S
        )

    def send(self, signum: signal.Signals) -> None:
        subprocess.run(["runc", "kill", self.id, signum.name], check=True)

    def exit_code(self) -> int:
        """Waits for the end, and reads what is left of the log."""
        self.output.append(self.process.communicate()[0])
        return self.process.returncode

    def remove(self) -> None:
        subprocess.run(["runc", "delete", "--force", self.id], capture_output=True)
        with self.process:
            self.process.kill()


@contextmanager
def started(container: Container, folder: Path) -> Iterator[Running]:
    """Started, and gone when the block is left. `folder` is for the runtime's configuration."""
    bundle = folder / uuid.uuid4().hex
    bundle.mkdir()
    running = Running(container, bundle)
    try:
        yield running
    finally:
        running.remove()


def run(container: Container, folder: Path) -> tuple[int, str]:
    """Runs it to its end; exit code, and what it wrote."""
    with started(container, folder) as running:
        code = running.exit_code()
    return code, "".join(running.output)
