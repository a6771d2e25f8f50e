"""What takes seconds to make and nobody changes is made once, for all processes of one call of pytest."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


class SharedFolder:
    """A folder that all processes of one call of pytest have."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        own = factory.getbasetemp()
        self.path = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
        self.path.mkdir(exist_ok=True)

    def once(self, name: str, make: Callable[[Path], object]) -> Path:
        """The file or folder of that name; whoever asks first makes it, the others wait."""
        target, done = self.path / name, self.path / f"{name}.done"
        with (self.path / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(target, ignore_errors=True)  # of one that failed, with its test
                make(target)
                done.touch()
        return target
