"""The end of a run: when every shard is there, the files that say what it holds, and that it is whole.

_manifest.json, summary.json and quarantine.parquet come first, _SUCCESS after them, and latest.json last.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fovea.errors import DataInvalid
from fovea.folder import Folder
from scorer import layout
from scorer.latest import move_latest
from scorer.plan import Plan
from scorer.rows import RowWriter, ShardCounts, StageTime, read_shard
from scorer.scratch import scratch_folder


@dataclass
class Summary:
    """What a run came to, added up shard by shard."""

    images: int = 0
    carried: int = 0
    """Of the images, those whose rows were copied from an earlier run."""
    statuses: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    abstained: int = 0
    seconds: float = 0.0
    """What the shards took, one after the other; several machines are faster than that."""
    stages: dict[str, StageTime] = field(default_factory=dict)

    @property
    def bad_images(self) -> int:
        return self.images - self.statuses["ok"]

    @property
    def images_per_s(self) -> float:
        return (self.images - self.carried) / self.seconds if self.seconds else 0.0

    @property
    def bottleneck(self) -> str | None:
        """The stage whose workers had the least rest; None when there was nothing to do."""
        if self.images == self.carried:
            return None
        return max(self.stages, key=lambda name: _utilisation(self.stages[name]))

    def add(self, rows: pa.Table, counts: ShardCounts) -> None:
        self.images += rows.num_rows
        self.carried += counts.carried
        self.statuses.update(counts.statuses)
        self.labels.update(label for label in rows["label"].to_pylist() if label is not None)
        self.abstained += pc.sum(rows["abstained"]).as_py() or 0
        self.seconds += counts.elapsed_s
        for name, stage in counts.stages.items():
            so_far = self.stages.get(name, StageTime(0, 0))
            self.stages[name] = StageTime(so_far.busy_s + stage.busy_s, so_far.capacity_s + stage.capacity_s)

    def as_json(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "carried": self.carried,
            "statuses": dict(self.statuses.most_common()),
            "labels": dict(self.labels.most_common()),
            "abstained": self.abstained,
            "seconds": round(self.seconds, 3),
            "images_per_s": round(self.images_per_s, 1),
            "bottleneck": self.bottleneck,
            "stages": {
                name: {"busy_s": round(stage.busy_s, 3), "utilisation": round(_utilisation(stage), 3)}
                for name, stage in self.stages.items()
            },
        }


def missing_shards(output: Folder, plan: Plan) -> list[int]:
    """The indices of the shards that nobody has committed yet."""
    data = output.folder(f"{layout.run_folder(plan.spec.run)}/{layout.SHARDS}")
    there = {f"{layout.SHARDS}/{entry.key}" for entry in data.entries()}
    return [shard.index for shard in plan.shards if layout.shard_file(shard.index) not in there]


def is_finished(output: Folder, run: str) -> bool:
    return output.exists(f"{layout.run_folder(run)}/{layout.SUCCESS}")


def commit(output: Folder, plan: Plan, max_bad_fraction: float) -> Summary:
    """Adds up the shards and makes the run official. Every shard must be there.

    Raises DataInvalid when more than `max_bad_fraction` of the rows are not ok; then nothing is written.
    """
    run = output.folder(layout.run_folder(plan.spec.run))
    with scratch_folder() as folder:
        quarantine = folder / layout.QUARANTINE
        summary, files = _gather(run, plan, quarantine)
        _refuse_bad_run(summary, plan, max_bad_fraction)
        run.write(layout.QUARANTINE, quarantine.read_bytes())
    run.write(layout.MANIFEST, _json({"files": files}))
    run.write(layout.SUMMARY, _json({**_about(plan), **summary.as_json()}))
    run.write(layout.SUCCESS, b"")
    move_latest(output, plan)
    return summary


def _gather(run: Folder, plan: Plan, quarantine: Path) -> tuple[Summary, list[dict[str, object]]]:
    summary, files = Summary(), []
    with RowWriter(quarantine) as bad:
        for shard in plan.shards:
            path = layout.shard_file(shard.index)
            data = run.read(path)
            rows, counts = read_shard(data, f"{run.uri}/{path}")
            if rows.num_rows != shard.images:
                raise DataInvalid(
                    f"{run.uri}/{path}: {rows.num_rows} rows, though {shard.images} are planned"
                )
            summary.add(rows, counts)
            files.append({"path": path, "rows": rows.num_rows, "sha256": hashlib.sha256(data).hexdigest()})
            for batch in rows.filter(pc.not_equal(rows["status"], "ok")).to_batches():
                bad.write_batch(batch)
    return summary, files


def _refuse_bad_run(summary: Summary, plan: Plan, max_bad_fraction: float) -> None:
    if summary.bad_images <= max_bad_fraction * summary.images:
        return
    bad = ", ".join(f"{count} {status}" for status, count in summary.statuses.most_common() if status != "ok")
    raise DataInvalid(
        f"run {plan.spec.run}: {summary.bad_images} of {summary.images} images are not ok ({bad}), more than "
        f"--max-bad-fraction {max_bad_fraction:g}; to accept them, run again with this --run-id and more"
    )


def _about(plan: Plan) -> dict[str, object]:
    spec = plan.spec
    return {
        "run": spec.run,
        "source": spec.source,
        "model": {"name": spec.model_name, "version": spec.model_version, "digest": spec.model_digest},
        "preprocess_digest": spec.preprocess_digest,
        "left_out": plan.left_out,
        "planned": plan.created.isoformat(),
        "finished": datetime.now(UTC).isoformat(),
    }


def _utilisation(stage: StageTime) -> float:
    return stage.busy_s / stage.capacity_s if stage.capacity_s else 0.0


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
