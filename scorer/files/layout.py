"""Where things lie below the output: plan/RUN/, runs/RUN/ and latest.json."""

import json
from typing import Final

SHARDS: Final = "data"
MANIFEST: Final = "_manifest.json"
SUMMARY: Final = "summary.json"
SUMMARY_PAGE: Final = "summary.html"
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


def json_bytes(value: object) -> bytes:
    """As every JSON file of a run is written. Raises ValueError for what is no number in JSON."""
    return json.dumps(value, indent=2, allow_nan=False).encode() + b"\n"
