"""Starting runs in tests, in this process or as a real one, and reading what they wrote."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.dataset

from fovea.settings import load
from fovea.stores.storage import open_reachable
from scorer.config import RunSettings
from scorer.files.plan import Plan
from scorer.planning.planner import plan_run
from tests import programs

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60

Place = Path | str


def flags(source: Place, models: Place, output: Place, *more: str, run: str = "night-1") -> list[str]:
    places = ["--models", str(models), "--output", str(output), "--run-id", run]
    return [str(source), *places, "--provider", "cpu", "--threads", "1", "--decode-threads", "2", *more]


def settings_for(
    source: Place, models: Place, output: Place, *more: str, run: str = "night-1"
) -> RunSettings:
    return load(RunSettings, flags(source, models, output, *more, run=run), "scorer")


def planned(settings: RunSettings) -> Plan:
    """Plans the run and stops there, so that a test can change the world before the shards are scored."""
    return plan_run(settings, open_reachable(settings.output))


def scorer(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m scorer` as a process of its own, to its end."""
    environment = {**os.environ, "COLUMNS": "100"}
    return programs.run("scorer", *arguments, timeout=PATIENCE_S, cwd=ROOT, env=environment)


@contextmanager
def started_scorer(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with programs.Program(
        "scorer", *arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed program may leave on stderr."""
    (line,) = result.stderr.splitlines()
    return line


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    """What a failed program ended with, after the log's lines."""
    return result.stderr.splitlines()[-1]


def read_rows(output: Path, run: str = "night-1") -> list[dict[str, Any]]:
    """The run's rows, read as an analyst would: the folder as a data set."""
    rows: list[dict[str, Any]] = (
        pyarrow.dataset.dataset(output / "runs" / run / "data").to_table().to_pylist()
    )
    return rows


def statuses(output: Path, run: str = "night-1") -> dict[str, str]:
    return {row["key"]: row["status"] for row in read_rows(output, run)}
