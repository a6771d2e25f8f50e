"""Runs over a real S3 endpoint: images, model and output in buckets."""

import io
import json
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from scorer.run import score
from tests import tiny
from tests.buckets import Bucket, GoogleBucket
from tests.scorer.runs import error_line, flags, planned, scorer, settings_for, statuses
from tests.servers import running_server


@pytest.fixture
def places(bucket: Bucket, photos: Path, tiny_models: Path) -> tuple[str, str, str]:
    """URIs of 12 images, of the tiny model, and of an output that is not there yet."""
    bucket.put_folder("images/today", photos)
    bucket.put("images/todays-neighbour.png", b"")
    bucket.put_folder("models/tiny", tiny_models)
    return f"{bucket.uri}/images/today", f"{bucket.uri}/models/tiny", f"{bucket.uri}/scores"


@pytest.fixture
def model_cache(tmp_path: Path) -> tuple[str, str]:
    return "--model-cache", str(tmp_path / "cache")


def rows_in(bucket: Bucket, run: str = "night-1") -> dict[str, dict[str, object]]:
    tables = [
        pq.read_table(io.BytesIO(bucket.get(key))) for key in bucket.listing(f"scores/runs/{run}/data/")
    ]
    rows = [row for table in tables for row in table.to_pylist()]
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: row for row in rows}


def test_a_bucket_is_scored_into_a_bucket(
    bucket: Bucket, places: tuple[str, str, str], model_cache: tuple[str, str], photos: Path
) -> None:
    result = scorer("run", *flags(*places, *model_cache, "--shard-images", "5"))
    assert result.returncode == 0, result.stderr
    rows = rows_in(bucket)
    assert {key: row["label"] for key, row in rows.items()} == tiny.fill_folder(photos, 12)
    assert json.loads(bucket.get("scores/latest.json"))["path"] == "runs/night-1"
    assert "scores/runs/night-1/_SUCCESS" in bucket.listing()


def test_a_key_that_cannot_be_asked_for_costs_itself_alone(
    bucket: Bucket, places: tuple[str, str, str], model_cache: tuple[str, str]
) -> None:
    """Beside a folder's mark, which is no image, an object that is named as a folder, and one in the cold."""
    for key in ("/double.png", "x//dot.png", "b\x01.png", "000.png/1.png"):
        bucket.put(f"images/today/{key}", tiny.picture("red"))
    bucket.put("images/today/", b"")
    bucket.put("images/today/cats/", b"")
    cold = {"Key": "images/today/cold.png", "Body": b"x", "StorageClass": "GLACIER"}
    bucket.client.put_object(Bucket=bucket.name, **cold)
    score(settings_for(*places, *model_cache, "--max-bad-fraction", "0.3"))
    rows = rows_in(bucket)
    bad = {key: row["error"] for key, row in rows.items() if row["status"] != "ok"}
    assert len(rows) == 12 + 5
    assert set(bad) == {"/double.png", "x//dot.png", "b\x01.png", "cold.png"}
    assert {rows[key]["status"] for key in bad} == {"unreadable"}
    assert str(bad.pop("cold.png")).endswith("it is archived; restore it first")
    assert all("cannot be asked for: its key has" in str(error) for error in bad.values())
    again = settings_for(*places, *model_cache, "--max-bad-fraction", "0.3", run="night-2")
    score(again)
    assert len(rows_in(bucket, "night-2")) == 12 + 5


def test_of_google_too_a_key_that_cannot_be_asked_for_costs_itself_alone(
    google_bucket: GoogleBucket, tiny_models: Path, photos: Path, output: Path
) -> None:
    google_bucket.put_folder("images", photos)
    google_bucket.put("images/x//dot.png", tiny.picture("red"))
    settings = settings_for(f"{google_bucket.uri}/images", tiny_models, output, "--max-bad-fraction", "0.3")
    score(settings)
    by_key = statuses(output)
    assert len(by_key) == 12 + 1
    assert [key for key, status in by_key.items() if status != "ok"] == ["x//dot.png"]


def test_an_object_that_was_archived_since_costs_no_verified_night(
    bucket: Bucket, places: tuple[str, str, str], model_cache: tuple[str, str], tiny_models: Path
) -> None:
    """What moves it into the cold leaves its etag as it was, so that its row is carried."""
    score(settings_for(*places, *model_cache))
    key, cold = "images/today/000.png", {"StorageClass": "GLACIER"}
    bucket.client.copy_object(Bucket=bucket.name, Key=key, CopySource=f"{bucket.name}/{key}", **cold)
    with running_server(tiny_models) as server:
        score(settings_for(*places, *model_cache, "--verify", server.target, run="night-2"))
    assert rows_in(bucket, "night-2")["000.png"]["run"] == "night-1"
    verification = json.loads(bucket.get("scores/runs/night-2/summary.json"))["verification"]
    assert (verification["asked"], verification["unreadable"], verification["mismatches"]) == (11, 1, 0)


def test_objects_replaced_or_deleted_after_the_plan_are_told_apart(
    bucket: Bucket, places: tuple[str, str, str], model_cache: tuple[str, str]
) -> None:
    settings = settings_for(*places, *model_cache)
    planned(settings)
    bucket.put("images/today/000.png", tiny.picture("blue"))
    bucket.delete("images/today/001.jpeg")
    score(settings)
    rows = rows_in(bucket)
    assert (rows["000.png"]["status"], rows["001.jpeg"]["status"]) == ("changed", "gone")
    assert len(rows) == 12


def test_an_empty_prefix_is_a_clean_empty_run(
    bucket: Bucket, places: tuple[str, str, str], model_cache: tuple[str, str]
) -> None:
    _, models, output = places
    score(settings_for(f"{bucket.uri}/nothing/here", models, output, *model_cache))
    assert rows_in(bucket) == {}
    assert "scores/runs/night-1/_SUCCESS" in bucket.listing()


def test_a_folders_marker_is_no_image(
    bucket: Bucket, places: tuple[str, str, str], model_cache: tuple[str, str]
) -> None:
    bucket.put("images/today/cats/", b"")
    bucket.put("images/today/cats.png", tiny.picture("red"))
    bucket.put("images/today/cats/one.png", tiny.picture("red"))
    assert planned(settings_for(*places, *model_cache)).images == 14


def test_a_store_that_does_not_answer_is_one_line(
    places: tuple[str, str, str], tiny_models: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    for source, scores in ((places[0], str(output)), (str(output.parent), places[2])):
        result = scorer("run", *flags(source, tiny_models, scores))
        assert result.returncode == 69
        assert "s3://" in error_line(result)
        assert ": cannot be reached: " in error_line(result)
    assert time.monotonic() - started < 30, "patience is for a store that is there"
    assert not output.exists()


def test_a_bucket_that_does_not_exist_is_one_line(bucket: Bucket, tiny_models: Path, output: Path) -> None:
    result = scorer("run", *flags("s3://no-such-bucket/x", tiny_models, output))
    assert result.returncode == 69
    assert "s3://no-such-bucket/x: cannot be listed" in error_line(result)
