"""A run's folder: everything that one training wrote, by fixed names."""

import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.stores.storage import LocalFolder

SETTINGS_FILE = "settings.json"
AUDIT_FILE = "audit.json"
DECISION_FILE = "lr_find.json"
CURVE_FILE = "lr_find.png"
FIT_FILE = "fit.json"
LINEAGE_FILE = "lineage.json"
RELEASED_FILE = "released.json"
RANDOM_SPLIT_FILE = "random_split.json"
SUMMARY_FILE = "summary.json"
EVALUATION_FILE = "evaluation.json"
COMPARISON_FILE = "compare.json"
COMPARISON_PAGE = "compare.html"
RANGE_TESTS = Path("runs/lr-find")
EVALUATIONS = Path("runs/evaluate")
COMPARISONS = Path("runs/compare")
LOOKS = Path("runs/look")
LABELS = Path("runs/labels")
LABEL_PAGES = Path("runs/label")

Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True)
class RunFolder:
    """Where a run's files are."""

    path: Path
    proposed: bool = False
    """whether the name is not taken yet, so that another process may be faster: see `claim`"""

    @classmethod
    def of(cls, runs: Path, run_id: str | None) -> "RunFolder":
        """A run's folder, by default named after the time: not made yet, or of a run that goes on.

        Raises SettingsInvalid when something else is there.
        """
        run = cls(runs / (run_id or _now()), proposed=run_id is None)
        run.check("--runs")
        if run.proposed:
            return run
        if run.path.exists() and any(run.path.iterdir()) and not run.holds(SETTINGS_FILE):
            raise SettingsInvalid(f"--run-id: {run.path} holds something that is no run; choose another id")
        return run

    @classmethod
    def output(cls, given: Path | None, default: Path) -> "RunFolder":
        """What --output says, or below `default` a folder of its own, named after the time. Not made yet.

        Raises SettingsInvalid when a file is in the way, Unavailable when it cannot be written.
        """
        folder = cls(given or default / _now(), proposed=given is None)
        folder.check("--output")
        return folder

    def claim(self) -> "RunFolder":
        """Makes the folder. A proposed name gets -2, -3, ... where others took it in the same second, so that
        no two runs write to one folder. Raises Unavailable."""
        if not self.proposed:
            self.make()
            return self
        RunFolder(self.path.parent).make()
        path, numbers = self.path, itertools.count(2)
        while not _make_first(path):
            path = self.path.with_name(f"{self.path.name}-{next(numbers)}")
        return RunFolder(path)

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

    def write_record(self, name: str, record: BaseModel) -> None:
        """What was never set is left out."""
        self.write_json(name, record.model_dump(mode="json", exclude_unset=True))

    def read_record(self, name: str, kind: type[Record]) -> Record:
        """What a run of this or of an older version wrote.

        Raises DataInvalid when this run has no such file, or a damaged one.
        """
        try:
            return kind.model_validate(self.read_json(name))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise DataInvalid(
                f"{self.path / name}: not what a training writes: {place}: {first['msg']}"
            ) from error

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


def _make_first(path: Path) -> bool:
    """Whether this process made it, and no other."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise Unavailable(f"{path}: the folder cannot be made: {error.strerror}") from error
    return True


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def _lock(folder: int, path: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Unavailable(f"{path}: another process is at work on this run") from error
    except OSError:  # a file system without locks
        return
