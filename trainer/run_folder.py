"""A run's folder: everything that one training wrote, by fixed names."""

import json
import os
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
SUMMARY_FILE = "summary.json"

_WRITTEN_BEFORE_TRAINING = {SETTINGS_FILE, AUDIT_FILE, LINEAGE_FILE, DECISION_FILE, CURVE_FILE}


@dataclass(frozen=True)
class RunFolder:
    """Where a run's files are."""

    path: Path

    @classmethod
    def unused(cls, runs: Path, run_id: str | None) -> "RunFolder":
        """A folder that is not made yet, or of a run that ended before it trained.

        Raises SettingsInvalid when there is such a run already, or something else.
        """
        path = runs / (run_id or datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
        if path.exists() and not _ended_early(path):
            raise SettingsInvalid(f"--run-id: there is a run {path} already; choose another id")
        return cls(path)

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


def _ended_early(path: Path) -> bool:
    return path.is_dir() and {child.name for child in path.iterdir()} <= _WRITTEN_BEFORE_TRAINING
