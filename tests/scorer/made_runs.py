"""Runs that are scored already, made without a model, with the rows that a test wants."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fovea.settings import load
from fovea.stores.folder import Entry, Folder
from fovea.stores.storage import open_folder
from scorer.committing.commit import finish_run
from scorer.config import CommitSettings
from scorer.files import layout
from scorer.files.folders import scratch_folder
from scorer.files.manifest import ManifestWriter
from scorer.files.plan import Plan, PlannedShard, RunSpec
from scorer.files.rows import Failure, Outcome, RowWriter, ShardCounts, StageTime, TopLabels
from scorer.files.summary import RunSummary

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Image(NamedTuple):
    """A planned image and what its row says; without a label its row is one that is not ok."""

    key: str
    label: str | None = "red"
    probability: float = 0.9
    etag: str = "1"
    carried: bool = False


Shards = Sequence[Sequence[Image]]


def make_run(
    output: Path | str,
    shards: Shards,
    run: str = "night-1",
    day: int = 1,
    elapsed_s: float = 1.0,
    **spec: Any,
) -> tuple[Folder, Plan]:
    """A run of which every shard is there and took so long, planned at noon of the day."""
    folder = open_folder(str(output))
    planned = tuple(_make_shard(folder, run, index, images, elapsed_s) for index, images in enumerate(shards))
    created = NOON + timedelta(days=day)
    plan = Plan(
        created=created, spec=made_spec(run, **spec), shards=planned, previous=f"night-{day - 1}", settings={}
    )
    folder.write(f"{layout.plan_folder(run)}/{layout.PLAN}", plan.model_dump_json().encode())
    return folder, plan


def commit(output: Folder, plan: Plan, *options: str) -> RunSummary | None:
    return finish_run(output, plan, commit_settings(plan.spec.run, *options))


def commit_settings(run: str, *options: str) -> CommitSettings:
    return load(CommitSettings, ["--output", "unused", "--run-id", run, *options], "scorer commit")


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Changes the rows of a shard's file, and leaves its footer."""
    table = pq.read_table(path)
    metadata = pq.read_metadata(path).metadata
    pq.write_table(change(table).replace_schema_metadata({b"fovea": metadata[b"fovea"]}), path)


def made_spec(run: str = "night-1", **changes: Any) -> RunSpec:
    """What such a run is planned with."""
    fields: dict[str, Any] = {
        "run": run,
        "source": "/nowhere/photos",
        "include": ("*.jpg",),
        "exclude": (),
        "models": "/nowhere/tiny",
        "model_name": "tiny",
        "model_version": 1,
        "model_digest": "d" * 64,
        "preprocess_digest": "p" * 64,
        "top_k": 1,
        "max_image_bytes": 1000,
        "max_image_pixels": 1000,
    }
    return RunSpec(**{**fields, **changes})


def _make_shard(
    output: Folder, run: str, index: int, images: Sequence[Image], elapsed_s: float
) -> PlannedShard:
    entries = [Entry(image.key, 10, image.etag, NOON) for image in images]
    manifest = f"{layout.plan_folder(run)}/manifest-{index:05}.parquet"
    planned = ManifestWriter()
    for entry in entries:
        planned.add(entry, None)
    planned.write_to(output, manifest)
    same: dict[str, object] = {"run": run, "model_name": "tiny", "model_version": 1}
    digests = {"model_digest": "d" * 64, "preprocess_digest": "p" * 64}
    with scratch_folder() as folder:
        with RowWriter(folder / "shard", {**same, **digests}) as writer:
            writer.write(entries, [_outcome(image) for image in images], NOON)
            stages = {"fetch": StageTime(0.5, 1), "decode": StageTime(0.2, 1)}
            carried = sum(image.carried for image in images)
            writer.write_footer(ShardCounts({}, elapsed_s, stages, carried, "CPUExecutionProvider"))
        path = f"{layout.run_folder(run)}/{layout.shard_file(index)}"
        output.write(path, (folder / "shard").read_bytes())
    return PlannedShard(index=index, manifest=manifest, images=len(images), size_bytes=0)


def _outcome(image: Image) -> Outcome:
    if image.label is None:
        return Failure("undecodable", f"{image.key}: not an image")
    return TopLabels((image.label,), (image.probability,), image.probability < 0.6)
