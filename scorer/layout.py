"""Where things lie below the output: plan/RUN/, runs/RUN/ and latest.json."""

from typing import Final

SHARDS: Final = "data"
MANIFEST: Final = "_manifest.json"
SUMMARY: Final = "summary.json"
QUARANTINE: Final = "quarantine.parquet"
SUCCESS: Final = "_SUCCESS"
LATEST: Final = "latest.json"
PLAN: Final = "plan.json"


def plan_folder(run: str) -> str:
    return f"plan/{run}"


def run_folder(run: str) -> str:
    return f"runs/{run}"


def shard_file(index: int) -> str:
    """A shard's parquet file below the run's folder."""
    return f"{SHARDS}/shard-{index:05}.parquet"
