"""The commit of runs whose shards are made by the test, so that they can be wrong in every way."""

import json
import os
import shutil
import tracemalloc
from collections.abc import Iterator
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from fovea.errors import DataInvalid, Unavailable
from fovea.stores.folder import Folder
from scorer.files import rows
from scorer.files.committed import read_committed
from scorer.files.plan import Plan
from scorer.files.rows import SCHEMA
from scorer.files.summary import ImageChanges
from tests.scorer.made_runs import Image, commit, make_run, rewrite
from tests.scorer.runs import error_line, scorer

THREE_SHARDS = (
    [Image("a.jpg"), Image("b.jpg", "blue")],
    [Image("c.jpg", None), Image("d.jpg")],
    [Image("e.jpg")],
)


@pytest.fixture
def run(output: Path) -> tuple[Folder, Plan]:
    return make_run(output, THREE_SHARDS)


def shard(output: Path, index: int, run: str = "night-1") -> Path:
    return output / "runs" / run / "data" / f"shard-{index:05}.parquet"


def files(output: Path) -> set[str]:
    return {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}


def test_missing_shards_are_counted_and_named_and_nothing_is_written(
    output: Path, run: tuple[Folder, Plan]
) -> None:
    shard(output, 0).unlink()
    shard(output, 2).unlink()
    before = files(output)
    result = scorer("commit", "--output", str(output), "--run-id", "night-1")
    assert result.returncode == 69
    assert error_line(result) == (
        "error: run night-1: 2 of 3 shards are not there yet (0, 2); "
        "`python -m scorer work` scores them, then commit again"
    )
    assert files(output) == before


def test_of_many_missing_shards_only_the_first_are_named(output: Path) -> None:
    run = make_run(output, [[Image(f"{n}.jpg")] for n in range(9)])
    shutil.rmtree(output / "runs")
    with pytest.raises(Unavailable, match=r"9 of 9 shards are not there yet \(0, 1, 2, 3, 4, \.\.\.\)"):
        commit(*run)


def test_a_shard_with_fewer_rows_than_planned_is_named(output: Path, run: tuple[Folder, Plan]) -> None:
    rewrite(shard(output, 1), lambda table: table.slice(1))
    with pytest.raises(DataInvalid, match=r"shard-00001\.parquet: 1 rows, though 2 are planned"):
        commit(*run)


@pytest.mark.parametrize("order", [[1, 0], [0, 0], [1, 1]])
def test_rows_of_other_keys_than_the_planned_ones_are_named(
    order: list[int], output: Path, run: tuple[Folder, Plan]
) -> None:
    rewrite(shard(output, 0), lambda table: table.take(order))
    with pytest.raises(DataInvalid, match=r"shard-00000\.parquet: row \d is of '.\.jpg', though '.\.jpg' is"):
        commit(*run)


def test_a_shard_of_other_columns_is_named(output: Path, run: tuple[Folder, Plan]) -> None:
    rewrite(shard(output, 0), lambda table: table.drop_columns(["error"]))
    with pytest.raises(DataInvalid, match=r"shard-00000\.parquet: its columns are not those"):
        commit(*run)


@pytest.mark.parametrize("keys", [["a", "c", "b"], ["a", "a"]])
@pytest.mark.parametrize("one_shard", [True, False])
def test_a_plan_that_is_not_sorted_or_names_a_key_twice_is_refused(
    keys: list[str], one_shard: bool, output: Path
) -> None:
    images = [Image(key) for key in keys]
    run = make_run(output, [images] if one_shard else [[image] for image in images])
    with pytest.raises(DataInvalid, match="its keys are not sorted, or one is planned twice"):
        commit(*run)


def test_keys_are_ordered_by_their_bytes_also_where_these_are_not_utf8(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of such keys in any shard, and in any part of one."""
    monkeypatch.setattr(rows, "PART_ROWS", 2)
    keys = ["caf\udce9.jpg", "cafz.jpg", "\U0001f600.jpg", "\uffff.jpg", "\udcff.jpg", "\udcfe.jpg"]
    in_order = sorted(keys, key=lambda key: key.encode("utf-8", "surrogateescape"))
    for first, second in ((in_order[:0], in_order), (in_order[:1], in_order[1:])):
        shutil.rmtree(output, ignore_errors=True)
        for day, label in ((1, "red"), (2, "blue")):
            shards = [[Image(key, label) for key in some] for some in (first, second)]
            summary = commit(*make_run(output, shards, f"night-{day}", day=day))
        assert summary is not None
        assert summary.last is not None
        assert summary.last.changes.images == ImageChanges(in_both=6, new=0, vanished=0, image_replaced=0)
        assert summary.last.changes.labels.changed == 6


class Failing(Exception):
    """In the place of a SIGKILL."""


class FailingFolder:
    """A folder whose n-th write does not happen, as if the program were killed before it."""

    def __init__(self, folder: Folder, writes: Iterator[int]) -> None:
        self._folder, self._writes, self.uri, self.name = folder, writes, folder.uri, folder.name

    def folder(self, key: str) -> Folder:
        return failing(self._folder.folder(key), self._writes)

    def write(self, key: str, data: bytes | mmap) -> None:
        if not next(self._writes):
            raise Failing(key)
        self._folder.write(key, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._folder, name)


def failing(folder: Folder, writes: Iterator[int]) -> Folder:
    return cast("Folder", FailingFolder(folder, writes))


WRITES = ("_manifest.json", "quarantine.parquet", "summary.json", "summary.html", "_SUCCESS", "latest.json")


@pytest.mark.parametrize("done", range(len(WRITES) + 1))
def test_a_commit_killed_before_any_write_and_run_again_ends_the_same(done: int, output: Path) -> None:
    commit(*make_run(output, THREE_SHARDS, "night-0", day=0))
    folder, plan = make_run(output, THREE_SHARDS)
    before = files(output)
    writes = iter([1] * done + [0])
    if done < len(WRITES):
        with pytest.raises(Failing, match=WRITES[done]):
            commit(failing(folder, writes), plan)
    else:
        commit(failing(folder, writes), plan)
    in_the_run = {f"runs/night-1/{name}" for name in WRITES[:done] if name != "latest.json"}
    assert files(output) - before == in_the_run
    latest = json.loads((output / "latest.json").read_bytes())["run"]
    assert latest == ("night-1" if done == len(WRITES) else "night-0")

    commit(folder, plan)
    assert files(output) - before == {f"runs/night-1/{name}" for name in WRITES[:-1]}
    assert json.loads((output / "latest.json").read_bytes())["run"] == "night-1"
    summary = json.loads((output / "runs/night-1/summary.json").read_bytes())
    assert summary["last"]["run"] == "night-0"
    assert (output / "runs/night-1/quarantine.parquet").stat().st_size > 0


def held_bytes(output: Path, shards: int, images: int) -> int:
    """The most memory that rows take up while a run of so many shards is read."""
    shards_of_images = [[Image(f"{s:02}/{n:05}") for n in range(images)] for s in range(shards)]
    folder, plan = make_run(output, shards_of_images, f"run-{shards}-{images}")
    rest, held = pa.total_allocated_bytes(), 0
    for shard in read_committed(folder, plan):
        for _ in shard.parts():
            held = max(held, pa.total_allocated_bytes() - rest)
    return held


def test_the_rows_of_one_shard_are_in_memory_at_a_time(output: Path) -> None:
    assert held_bytes(output, 6, 2000) < 1.5 * held_bytes(output, 1, 2000)


def with_errors(errors: pa.Array, rows: pa.Table) -> pa.Table:
    return rows.set_column(14, SCHEMA.field(14), errors)


def test_the_quarantine_is_never_in_memory_whole(output: Path) -> None:
    bad = [[Image(f"{s:02}/{n:03}", None) for n in range(100)] for s in range(20)]
    folder, plan = make_run(output, bad)
    for index in range(20):
        errors = pa.array([os.urandom(6000).hex() for _ in range(100)])
        rewrite(shard(output, index), partial(with_errors, errors))
    tracemalloc.start()
    commit(folder, plan, "--max-bad-fraction", "1")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * (output / "runs/night-1/quarantine.parquet").stat().st_size
