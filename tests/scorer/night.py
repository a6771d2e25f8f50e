"""A nightly run over buckets, by real processes, whose store fails as a test wants it."""

import io
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fovea.settings import load
from scorer.config import WorkSettings
from scorer.files.plan import Plan
from scorer.scoring.work import work
from tests.buckets import Bucket
from tests.faulty_store import FaultyStore
from tests.scorer.runs import planned, scorer, settings_for, started_scorer

Row = dict[str, Any]


@dataclass(frozen=True)
class Night:
    """A bucket with 12 images and the tiny model; processes reach it by way of `store`."""

    store: FaultyStore
    bucket: Bucket
    cache: Path

    @property
    def output(self) -> str:
        return f"{self.bucket.uri}/scores"

    def plan(self, *more: str, run: str = "night-1", prefix: str = "images") -> Plan:
        models = f"{self.bucket.uri}/models/tiny"
        cache = ("--model-cache", str(self.cache))
        return planned(
            settings_for(f"{self.bucket.uri}/{prefix}", models, self.output, *cache, *more, run=run)
        )

    def work(self, *more: str, run: str = "night-1") -> subprocess.CompletedProcess[str]:
        """`python -m scorer work`, to its end."""
        return scorer(*self._arguments(*more, run=run))

    def work_here(self, *more: str, run: str = "night-1") -> None:
        """The same in this process. Raises what it would end with."""
        work(load(WorkSettings, self._arguments(*more, run=run)[1:], "work"))

    def started_work(self, *more: str) -> AbstractContextManager[subprocess.Popen[str]]:
        return started_scorer(*self._arguments(*more))

    def _arguments(self, *more: str, run: str = "night-1") -> list[str]:
        places = ["--output", self.output, "--run-id", run, "--model-cache", str(self.cache)]
        return ["work", *places, "--provider", "cpu", "--threads", "1", "--decode-threads", "2", *more]

    def shards(self, run: str = "night-1") -> list[str]:
        """The names of the shards that are there."""
        return [key.rsplit("/", 1)[1] for key in self.bucket.listing(f"scores/runs/{run}/data/")]

    def rows(self, run: str = "night-1") -> list[Row]:
        tables = [
            pq.read_table(io.BytesIO(self.bucket.get(f"scores/runs/{run}/data/{name}")))
            for name in self.shards(run)
        ]
        return [row for table in tables for row in table.to_pylist()]

    def statuses(self) -> dict[str, str]:
        return {row["key"]: row["status"] for row in self.rows()}


def without_names(rows: list[Row]) -> list[Row]:
    """What two runs over the same images have in common."""
    return [{name: value for name, value in row.items() if name not in {"run", "scored_at"}} for row in rows]
