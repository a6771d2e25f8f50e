import dataclasses
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fovea.capture import files, parquet
from fovea.capture.files import began_of, name_of, put_window, require_pyarrow
from fovea.capture.parquet import SCHEMA, window_of
from fovea.capture.reading import read_captures
from fovea.capture.retention import remove_older
from fovea.capture.rows import Captured, Window
from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.stores.storage import LocalFolder, open_folder
from tests.buckets import Bucket
from tests.captures import NOON, captured

WINDOW = Window(NOON, NOON + timedelta(minutes=5), 1000, {"uniform": 10, "unknown": 3}, 0.01)
ROW = dataclasses.replace(
    captured(b"an image", "cat"),
    top_labels=("cat", "dog"),
    top_probabilities=(0.5, 0.25),
    abstained=True,
    model_name="pets",
    model_version=3,
)
SHADOW: dict[str, Any] = {"shadow_label": "dog", "shadow_probability": 0.75, "shadow_version": 4}
NO_SHADOW: dict[str, Any] = dict.fromkeys(SHADOW)
FULL = dataclasses.replace(ROW, image=None, distance=0.5, unknown=True, run="night", key="a/b.jpg", **SHADOW)


def put(folder: Path | str, *rows: Captured, began: datetime = NOON, source: str = "0-1") -> str:
    return put_window(open_folder(str(folder)), source, rows, dataclasses.replace(WINDOW, began=began))


def test_rows_come_back_as_they_were_the_oldest_window_first(tmp_path: Path) -> None:
    put(tmp_path, FULL, began=NOON + timedelta(days=1))
    path = tmp_path / put(tmp_path, ROW, FULL)
    assert list(read_captures(str(tmp_path))) == [ROW, FULL, FULL]
    assert pq.read_schema(path).equals(SCHEMA)
    assert window_of(path, "here") == WINDOW


def test_files_from_before_shadows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = pa.schema([field for field in SCHEMA if field.name not in SHADOW])
    with monkeypatch.context() as patched:
        patched.setattr(parquet, "SCHEMA", older)
        path = tmp_path / put(tmp_path, FULL)
    assert "shadow_label" not in pq.read_schema(path).names
    assert list(read_captures(str(tmp_path))) == [dataclasses.replace(FULL, **NO_SHADOW)]


def test_captures_of_a_bucket_are_read_too(bucket: Bucket) -> None:
    put(f"{bucket.uri}/captures", ROW)
    put(f"{bucket.uri}/captures", FULL)  # it is there already
    assert list(read_captures(f"{bucket.uri}/captures")) == [ROW]
    assert remove_older(open_folder(f"{bucket.uri}/captures"), NOON + timedelta(seconds=1)) == 1
    assert bucket.listing() == []


def test_a_reader_has_few_images_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 20)
    path = tmp_path / put(tmp_path, ROW, ROW, ROW, dataclasses.replace(ROW, image=bytes(50)), FULL)
    sizes = [pq.ParquetFile(path).metadata.row_group(group).num_rows for group in range(4)]
    assert sizes == [2, 1, 1, 1]


def test_a_view_of_an_image_is_written_as_its_bytes(tmp_path: Path) -> None:
    put(tmp_path, dataclasses.replace(ROW, image=memoryview(b"--an image--")[2:-2]))
    assert [row.image for row in read_captures(str(tmp_path))] == [b"an image"]


def test_what_is_no_capture_is_passed_over_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    key = put(tmp_path, ROW)
    for other in (
        "notes.txt",
        "date=2026-11-30/other.parquet",
        "date=2026-13-30/x.parquet",
        "runs/a.parquet",
    ):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_bytes(b"nothing")
    assert list(read_captures(str(tmp_path))) == [ROW]
    (tmp_path / key).write_bytes(b"PAR1 broken PAR1")
    with pytest.raises(DataInvalid, match=f"{key}: not a capture's file"):
        list(read_captures(str(tmp_path)))
    with pytest.raises(DataInvalid, match="not a capture's file"):
        window_of(tmp_path / key, key)


def test_a_file_that_goes_while_others_are_read_has_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = put(tmp_path, ROW), put(tmp_path, ROW, source="0-2")
    rows = read_captures(str(tmp_path))
    assert next(rows) == ROW
    (tmp_path / second).unlink()
    assert list(rows) == []
    assert (tmp_path / first).exists()


def test_a_name_tells_when_its_window_began() -> None:
    key = name_of(datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), "ab12-7")
    assert key == "date=2026-11-30/fovea-capture-20261130T233000Z-ab12-7.parquet"
    assert began_of(key) == datetime(2026, 11, 30, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "key",
    [
        "fovea-capture-20261130T233000Z-a.parquet",
        "date=2026-11-29/fovea-capture-20261130T233000Z-a.parquet",
        "date=2026-13-30/fovea-capture-20261330T233000Z-a.parquet",
        "date=2026-11-30/fovea-capture-20261130T233000Z-a.parquet.bak",
        "date=2026-11-30/more/fovea-capture-20261130T233000Z-a.parquet",
    ],
)
def test_what_is_not_named_as_a_capture_is_none(key: str) -> None:
    assert began_of(key) is None


def test_what_is_too_old_is_removed_and_nothing_else_is(tmp_path: Path) -> None:
    old = [put(tmp_path, ROW, began=NOON - timedelta(days=days)) for days in (3, 2)]
    kept = [put(tmp_path, ROW), put(tmp_path, ROW, began=NOON + timedelta(hours=1))]
    other = (tmp_path / old[0]).with_name("mine.parquet")
    other.write_bytes(b"mine")
    os.utime(other, (0, 0))
    (tmp_path / "date=2020-01-01").write_text("a file")
    assert remove_older(LocalFolder(tmp_path), NOON, lambda: True) == 0
    assert remove_older(LocalFolder(tmp_path), NOON, most=1) == 1, "a look is bounded"
    assert not (tmp_path / old[0]).exists(), "the oldest first"
    assert remove_older(LocalFolder(tmp_path), NOON) == 1
    assert remove_older(LocalFolder(tmp_path), NOON) == 0
    assert all((tmp_path / key).exists() for key in kept)
    assert other.read_bytes() == b"mine"


def test_without_pyarrow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "is_installed", lambda module: False)
    with pytest.raises(
        SettingsInvalid, match=r"^--capture: pyarrow is not installed: pip install 'fovea-vision\[capture\]'$"
    ):
        require_pyarrow("--capture")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "captures").write_text("a file")
    with pytest.raises(Unavailable, match="captures"):
        put(tmp_path / "captures", ROW)
