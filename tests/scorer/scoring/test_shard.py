import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fovea.errors import BundleInvalid, DataInvalid, Unavailable
from fovea.model.classifier import CPU
from fovea.stores.folder import Entry
from scorer.files.rows import ROW_GROUP_ROWS, Failure, RowWriter, ShardFile
from scorer.scoring.shard import ShardSpec, score_shard
from scorer.scoring.work import resources_of
from tests.scorer.runs import planned, read_rows, settings_for


@pytest.fixture
def spec(photos: Path, tiny_models: Path, output: Path) -> ShardSpec:
    """The only shard of a planned run, of 12 images in batches of 4."""
    settings = settings_for(photos, tiny_models, output, "--batch-size", "4")
    plan = planned(settings)
    return ShardSpec(str(output), plan.spec, plan.shards[0], resources_of(settings))


def test_progress_hears_of_each_batch(spec: ShardSpec) -> None:
    heard: list[int] = []
    assert score_shard(spec, heard.append)
    assert heard == [4, 4, 4]


def test_two_workers_on_one_shard_leave_each_row_once(spec: ShardSpec, output: Path) -> None:
    both_in_the_middle = threading.Barrier(2, timeout=30)
    wrote: list[bool] = []

    def wait_for_the_other(images: int) -> None:
        both_in_the_middle.wait()

    def work() -> None:
        counts = score_shard(spec, wait_for_the_other)
        wrote.append(counts is not None)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(wrote) == [False, True]
    assert len({row["key"] for row in read_rows(output)}) == len(read_rows(output)) == 12


def test_the_footer_holds_the_counts_that_are_returned(spec: ShardSpec, output: Path) -> None:
    counts = score_shard(spec)
    assert counts
    assert counts.statuses == {"ok": 12}
    assert counts.provider == CPU
    (file,) = (output / "runs" / "night-1" / "data").iterdir()
    assert ShardFile.open(file.read_bytes(), "the shard").counts == counts


def test_rows_gather_into_bounded_groups(tmp_path: Path) -> None:
    entry = Entry("a.png", 1, "etag", datetime.now(UTC))
    same: dict[str, object] = dict.fromkeys(("run", "model_name", "model_digest", "preprocess_digest"), "x")
    same["model_version"] = 1
    with RowWriter(tmp_path / "rows", same) as writer:
        for _ in range(2 * ROW_GROUP_ROWS // 4 + 1):
            writer.write([entry] * 4, [Failure("gone", "x")] * 4, datetime.now(UTC))
        assert (tmp_path / "rows").stat().st_size > 1000, "nothing is on the disk yet"
    file = pq.ParquetFile(tmp_path / "rows").metadata
    assert [file.row_group(n).num_rows for n in range(file.num_row_groups)] == [ROW_GROUP_ROWS] * 2 + [4]


def test_another_model_than_planned_is_refused(spec: ShardSpec, output: Path) -> None:
    other = replace(spec, run=spec.run.model_copy(update={"model_digest": "0" * 64}))
    with pytest.raises(BundleInvalid, match="not the model that was planned"):
        score_shard(other)
    assert not (output / "runs").exists()


def test_plan_of_before_decoders_were_noted_is_worked_on(spec: ShardSpec) -> None:
    before = spec.run.model_dump(mode="json", exclude={"image_path", "earlier_image_path"})
    assert score_shard(replace(spec, run=type(spec.run).model_validate_json(json.dumps(before))))


def test_other_decoders_than_planned_are_refused(spec: ShardSpec, output: Path) -> None:
    other = replace(spec, run=spec.run.model_copy(update={"image_path": "revision 1, pillow 1.0"}))
    with pytest.raises(DataInvalid, match=r"planned with other decoders \(revision 1, pillow 1\.0\) than"):
        score_shard(other)
    assert not (output / "runs").exists()


def test_a_failure_in_the_middle_leaves_no_shard(
    spec: ShardSpec, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def stop(images: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_shard(spec, stop)
    assert not (output / "runs").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_full_disk_is_unavailable_and_named() -> None:
    writer = RowWriter(Path("/dev/full"))
    with pytest.raises(Unavailable, match=r"/dev/full: cannot be written.*No space left"), writer:
        pass


def test_a_shards_file_that_is_damaged_is_named() -> None:
    with pytest.raises(DataInvalid, match=r"data/shard-00000\.parquet: not a shard's file"):
        ShardFile.open(b"PAR1 and no more", "data/shard-00000.parquet")


def test_a_damaged_manifest_is_named(spec: ShardSpec, output: Path) -> None:
    (output / spec.shard.manifest).write_bytes(b"damaged")
    with pytest.raises(DataInvalid, match=r"manifest-00000-.*: not a manifest"):
        score_shard(spec)
