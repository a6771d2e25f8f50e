"""A run's folder: everything that one training wrote, by fixed names."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.storage import LocalFolder

SETTINGS_FILE = "settings.json"
AUDIT_FILE = "audit.json"
DECISION_FILE = "lr_find.json"
CURVE_FILE = "lr_find.png"
FIT_FILE = "fit.json"
LINEAGE_FILE = "lineage.json"
RELEASED_FILE = "released.json"
SUMMARY_FILE = "summary.json"
EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class RunFolder:
    """Where a run's files are."""

    path: Path

    @classmethod
    def of(cls, runs: Path, run_id: str | None) -> "RunFolder":
        """A run's folder, by default named after the time: not made yet, or of a run that goes on.

        Raises SettingsInvalid when something else is there.
        """
        run = cls(runs / (run_id or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")))
        run.check("--runs")
        if run.path.exists() and any(run.path.iterdir()) and not run.holds(SETTINGS_FILE):
            raise SettingsInvalid(f"--run-id: {run.path} holds something that is no run; choose another id")
        return run

    def holds(self, name: str) -> bool:
        return (self.path / name).is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder and keeps other processes out. Raises Unavailable when one is in it already."""
        self.make()
        folder = os.open(self.path, os.O_RDONLY)
        try:
            _lock(folder, self.path)
            yield
        finally:
            os.close(folder)  # which gives the lock back, as the end of the process would

    def check(self, option: str) -> None:
        """Before anything is computed for it, and without making it: can this be a folder to write to?

        Raises SettingsInvalid when a file is in the way, Unavailable when it cannot be written.
        """
        nearest = next(path for path in (self.path, *self.path.absolute().parents) if os.path.lexists(path))
        if not nearest.is_dir():
            raise SettingsInvalid(f"{option} {self.path}: {nearest} is in the way, which is no folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise Unavailable(f"{option} {self.path}: {nearest} cannot be written to")

    def make(self) -> None:
        """Raises Unavailable."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{self.path}: the folder cannot be made: {error.strerror}") from error

    def write_json(self, name: str, value: object) -> None:
        self.write_text(name, json.dumps(value, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> None:
        LocalFolder(self.path).write(name, text.encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """Raises DataInvalid when this run has no such file, or a damaged one."""
        try:
            value = json.loads((self.path / name).read_bytes())
        except OSError as error:
            raise DataInvalid(f"{self.path}: not a finished run (there is no {name} in it)") from error
        except ValueError as error:
            raise DataInvalid(f"{self.path / name}: not JSON: {error}") from error
        if not isinstance(value, dict):
            raise DataInvalid(f"{self.path / name}: should hold a JSON object")
        return value


def _lock(folder: int, path: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Unavailable(f"{path}: another process is at work on this run") from error
    except OSError:  # a file system without locks
        return
