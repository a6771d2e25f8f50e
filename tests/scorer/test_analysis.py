"""The rows as analysts read them, each with the tool of their choice."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from scorer.files.rows import SCHEMA
from scorer.run import score
from tests import tiny
from tests.docs.pages import README
from tests.scorer.made_runs import Image, make_run
from tests.scorer.runs import settings_for

(QUERY,) = README.fences("sql")


@pytest.fixture
def two_nights(photos: Path, tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two real runs into `scores` below the working folder; in between, images changed, came and went."""
    monkeypatch.chdir(tmp_path)
    score(settings_for(photos, tiny_models, "scores", "--shard-images", "5"))
    (photos / "000.png").write_bytes(tiny.picture("blue"))
    (photos / "003.bmp").write_bytes(b"broken")
    (photos / "004.png").write_bytes(tiny.picture("green", (99, 99)))
    (photos / "001.jpeg").unlink()
    (photos / "new.png").write_bytes(tiny.picture("red"))
    score(settings_for(photos, tiny_models, "scores", "--shard-images", "7", run="night-2"))
    return tmp_path / "scores"


def answer_of(query: str) -> duckdb.DuckDBPyRelation:
    answer = duckdb.sql(query)
    assert answer is not None, f"{query} asks for nothing"
    return answer


def rows_of(query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = answer_of(query).to_arrow_table().to_pylist()
    return rows


def test_the_query_of_the_readme_says_what_changed_since_yesterday(two_nights: Path) -> None:
    changed = rows_of(QUERY)
    assert [(row["key"], row["was"], row["is_now"], row["image_replaced"]) for row in changed] == [
        ("000.png", "red", "blue", True),
        ("003.bmp", "red", None, True),
    ]
    assert changed[0]["probability"] > 0.9
    assert changed[1]["probability"] is None


def test_the_summary_counts_what_the_query_finds(two_nights: Path) -> None:
    summary = json.loads((two_nights / "runs/night-2/summary.json").read_bytes())
    changes = summary["last"]["changes"]
    assert changes["labels"]["changed"] + changes["labels"]["lost"] == len(rows_of(QUERY))
    assert changes["images"] == {"in_both": 11, "new": 1, "vanished": 1, "image_replaced": 3}


def test_duckdb_finds_the_rows_of_the_latest_run_by_latest_json(two_nights: Path) -> None:
    answer_of("SET VARIABLE latest = (SELECT path FROM 'scores/latest.json')")
    counted = rows_of(
        "SELECT label, count(*)::INT AS images "
        "FROM read_parquet('scores/' || getvariable('latest') || '/data/*.parquet') GROUP BY label"
    )
    assert {row["label"]: row["images"] for row in counted} == {"red": 3, "green": 3, "blue": 5, None: 1}


def test_duckdb_reads_every_run_at_once_with_the_right_types(two_nights: Path) -> None:
    rows = answer_of("SELECT * FROM 'scores/runs/*/data/*.parquet'")
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    assert types == {
        "key": "VARCHAR",
        "etag": "VARCHAR",
        "size": "BIGINT",
        "label": "VARCHAR",
        "probability": "FLOAT",
        "top_labels": "VARCHAR[]",
        "top_probabilities": "FLOAT[]",
        "abstained": "BOOLEAN",
        "model_name": "VARCHAR",
        "model_version": "INTEGER",
        "model_digest": "VARCHAR",
        "preprocess_digest": "VARCHAR",
        "run": "VARCHAR",
        "status": "VARCHAR",
        "error": "VARCHAR",
        "scored_at": "TIMESTAMP WITH TIME ZONE",
    }
    assert len(rows.fetchall()) == 24


def test_pandas_reads_the_folder_with_the_right_types(two_nights: Path) -> None:
    frame = pd.read_parquet(two_nights / "runs/night-2/data")
    assert len(frame) == 12
    assert {frame[name].dtype.name for name in ("label", "status", "model_name")} == {"category"}
    assert (frame["probability"].dtype, frame["size"].dtype) == (np.float32, np.int64)
    assert frame["key"].is_monotonic_increasing
    assert abs(frame["scored_at"].max() - datetime.now(UTC)).total_seconds() < 60
    assert frame["label"].value_counts().to_dict() == {"blue": 5, "red": 3, "green": 3}


def test_pyarrow_reads_the_folder_with_the_schema_that_is_written(two_nights: Path) -> None:
    table = pyarrow.dataset.dataset(two_nights / "runs/night-2/data").to_table()
    assert table.schema.equals(SCHEMA)
    assert table["scored_at"].type == pa.timestamp("us", "UTC")


def test_a_range_of_keys_is_read_from_the_one_file_that_has_it(output: Path) -> None:
    make_run(output, [[Image(f"{s}/{n:04}.jpg") for n in range(1000)] for s in range(6)])
    files = f"{output}/runs/night-1/data/*.parquet"
    query = f"SELECT count(label) FROM '{files}' WHERE key BETWEEN '3/' AND '3/~'"
    assert answer_of(query).fetchall() == [(1000,)]
    plan = answer_of(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}").fetchall()[0][1]
    assert re.findall(r'"rows_scanned": (\d+)', plan) == ["1000"]


def test_a_file_says_that_it_is_sorted_by_key(output: Path) -> None:
    make_run(output, [[Image("a.jpg"), Image("b.jpg")]])
    group = pq.read_metadata(output / "runs/night-1/data/shard-00000.parquet").row_group(0)
    assert [column.column_index for column in group.sorting_columns] == [0]
    assert (group.column(0).statistics.min, group.column(0).statistics.max) == ("a.jpg", "b.jpg")
