"""The shards of a run that were committed: which are there, and their rows, read one shard at a time."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from fovea.errors import DataInvalid, Unavailable
from fovea.stores.folder import Folder
from scorer.files import layout
from scorer.files.manifest import read_keys
from scorer.files.plan import Plan, PlannedShard
from scorer.files.rows import ShardFile, escaped, schema_of

NAMED: Final = 5
"""So many of the missing shards are named; the rest is counted."""


@dataclass(frozen=True)
class CommittedPart:
    """Some rows of a shard, as they were planned."""

    rows: pa.Table
    keys: pa.BinaryArray
    """The rows' keys as the store knows them: a row shows bytes that are not UTF-8 in another way."""
    provider: str
    """What ran the model for those that this run scored, by onnxruntime's name."""


@dataclass(frozen=True)
class CommittedShard:
    """A shard's file, and the keys that were planned for it."""

    path: str
    """Below the run's folder."""
    sha256: str
    file: ShardFile
    keys: pa.BinaryArray

    def parts(self) -> Iterator[CommittedPart]:
        """Raises DataInvalid when the rows are not those of the planned keys, each once, in their order."""
        done = 0
        for rows in self.file.parts():
            keys = self.keys.slice(done, rows.num_rows)
            _check_keys(rows["key"], keys, done, self.file.where)
            yield CommittedPart(rows, keys, self.file.counts.provider)
            done += rows.num_rows


def missing_shards(output: Folder, plan: Plan) -> list[int]:
    """The indices of the shards that nobody has committed yet."""
    data = output.folder(f"{layout.run_folder(plan.spec.run)}/{layout.SHARDS}")
    there = {f"{layout.SHARDS}/{entry.key}" for entry in data.entries()}
    return [shard.index for shard in plan.shards if layout.shard_file(shard.index) not in there]


def check_complete(output: Folder, plan: Plan) -> None:
    """Raises Unavailable, naming the first shards that are missing."""
    missing = missing_shards(output, plan)
    if missing:
        named = ", ".join(map(str, missing[:NAMED])) + (", ..." if len(missing) > NAMED else "")
        raise Unavailable(
            f"run {plan.spec.run}: {len(missing):,} of {len(plan.shards):,} shards are not there yet "
            f"({named}); `python -m scorer work` scores them, then commit again"
        )


def read_committed(output: Folder, plan: Plan) -> Iterator[CommittedShard]:
    """Every shard of the plan, in order.

    Raises DataInvalid when a shard has not as many rows as planned, or a key is planned twice.
    """
    before = b""
    for shard in plan.shards:
        committed = _read(output, plan, shard)
        _check_order(committed.keys, before, f"{output.uri}/{shard.manifest}")
        before = committed.keys[-1].as_py() if len(committed.keys) else before
        yield committed


def _read(output: Folder, plan: Plan, shard: PlannedShard) -> CommittedShard:
    path = layout.shard_file(shard.index)
    run = output.folder(layout.run_folder(plan.spec.run))
    data = run.read(path)
    file = ShardFile.open(data, f"{run.uri}/{path}")
    keys = read_keys(output, shard.manifest)
    _check_shape(file, keys, plan, shard)
    return CommittedShard(path, hashlib.sha256(data).hexdigest(), file, keys)


def _check_shape(file: ShardFile, keys: pa.BinaryArray, plan: Plan, shard: PlannedShard) -> None:
    if not file.file.schema_arrow.equals(schema_of(plan.spec)):
        raise DataInvalid(f"{file.where}: its columns are not those that this version of the scorer writes")
    rows = file.file.metadata.num_rows
    if rows != shard.images or len(keys) != shard.images:
        raise DataInvalid(f"{file.where}: {rows} rows, though {shard.images} are planned")


def _check_keys(written: pa.ChunkedArray, keys: pa.BinaryArray, done: int, where: str) -> None:
    planned = keys_in_rows(keys)
    if not written.equals(pa.chunked_array([planned])):
        place = pc.index(pc.equal(written, planned), value=False).as_py()
        key, wanted = written[place].as_py(), planned[place].as_py()
        raise DataInvalid(f"{where}: row {done + place} is of {key!r}, though {wanted!r} is planned")


def _check_order(keys: pa.BinaryArray, before: bytes, where: str) -> None:
    """Raises DataInvalid unless the keys ascend, from `before` on, so that none is there twice."""
    ascending = pc.all(pc.less(keys[:-1], keys[1:])).as_py() if len(keys) > 1 else True
    if not ascending or (len(keys) and before and keys[0].as_py() <= before):
        raise DataInvalid(f"{where}: its keys are not sorted, or one is planned twice")


def keys_in_rows(keys: pa.BinaryArray) -> pa.StringArray:
    """The keys as rows show them."""
    try:
        return keys.cast(pa.string())
    except pa.ArrowInvalid:
        names = (key.decode("utf-8", "surrogateescape") for key in keys.to_pylist())
        return pa.array(map(escaped, names), pa.string())
