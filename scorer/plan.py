"""What a run is to score: the listing as one manifest for each shard, and plan.json, which everybody reads.

Each shard has a manifest file of its own (key, size, etag, last_modified, sorted by key), so neither
planning nor scoring holds more than one shard's keys.
"""

import fnmatch
import io
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fovea.errors import DataInvalid, ObjectMissing, SettingsInvalid
from fovea.folder import Entry, Folder
from fovea.settings import flag
from fovea.storage import LocalFolder, open_folder
from scorer import layout

MANIFEST_SCHEMA: Final = pa.schema(
    [
        # Bytes, because a local file's name need not be UTF-8, and the file has to be found again by it.
        pa.field("key", pa.binary(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("last_modified", pa.timestamp("us", "UTC"), nullable=False),
    ]
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class RunSpec(_Frozen):
    """All that decides what a run's rows are. It is the same for every shard and every restart."""

    run: str
    source: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    models: str
    model_name: str
    model_version: int
    model_digest: str
    preprocess_digest: str
    top_k: int
    max_image_bytes: int
    max_image_pixels: int


class PlannedShard(_Frozen):
    """A contiguous range of the keys."""

    index: int
    manifest: str = Field(description="path below the output")
    images: int
    size_bytes: int


class Plan(_Frozen):
    """The content of plan.json."""

    format: Literal[1] = 1
    created: datetime
    spec: RunSpec
    shards: tuple[PlannedShard, ...] = Field(min_length=1, description="one empty shard if nothing is there")
    left_out: int = Field(0, description="files that no glob of include matches")
    settings: dict[str, Any] = Field(description="the planner's settings, to look up later")

    @property
    def images(self) -> int:
        return sum(shard.images for shard in self.shards)


def make_plan(output: Folder, spec: RunSpec, shard_images: int, settings: dict[str, Any]) -> Plan:
    """Lists the source and writes manifests and plan.json; returns the plan that holds.

    If another planner was first with this run, its plan holds. Raises DataInvalid when the source is a local
    folder that does not exist, Unavailable when a store does not answer.
    """
    chosen = _Chosen(open_source(spec.source).entries(), spec)
    shards = tuple(_write_manifests(output, spec.run, iter(chosen), shard_images))
    plan = Plan(
        created=datetime.now(UTC), spec=spec, shards=shards, left_out=chosen.left_out, settings=settings
    )
    path = f"{layout.plan_folder(spec.run)}/{layout.PLAN}"
    if output.put_if_absent(path, plan.model_dump_json(indent=2).encode() + b"\n"):
        return plan
    winner = read_plan(output, spec.run)
    if winner is None:
        raise DataInvalid(f"{output.uri}/{path}: it was there a moment ago, and is gone; run again")
    check_same_run(winner.spec, spec)
    return winner


def open_source(uri: str) -> Folder:
    """Raises DataInvalid for a local folder that does not exist; a prefix without objects is just empty."""
    source = open_folder(uri)
    if isinstance(source, LocalFolder) and not source.path.is_dir():
        raise DataInvalid(f"{source.uri}: there is no such folder; SOURCE is a folder of images or a prefix")
    return source


def read_plan(output: Folder, run: str) -> Plan | None:
    """The plan of this run, None while there is none. Raises DataInvalid when it cannot be understood."""
    path = f"{layout.plan_folder(run)}/{layout.PLAN}"
    try:
        return Plan.model_validate_json(output.read(path))
    except ObjectMissing:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise DataInvalid(f"{output.uri}/{path}: not a plan: {field}: {first['msg']}") from error


def check_same_run(planned: RunSpec, wanted: RunSpec) -> None:
    """Raises SettingsInvalid, naming the first difference, when the two would not give the same rows."""
    for name in RunSpec.model_fields:
        before, now = getattr(planned, name), getattr(wanted, name)
        if before != now:
            option = "SOURCE" if name == "source" else flag(name)
            raise SettingsInvalid(
                f"--run-id {planned.run}: this run was planned with {option} {_shown(before)}, "
                f"not {_shown(now)}; take another --run-id"
            )


def read_manifest(output: Folder, shard: PlannedShard) -> Iterator[Entry]:
    """The shard's keys, sorted. Raises ObjectMissing, DataInvalid when the file is damaged."""
    try:
        file = pq.ParquetFile(io.BytesIO(output.read(shard.manifest)))
    except pa.ArrowInvalid as error:
        raise DataInvalid(f"{output.uri}/{shard.manifest}: not a manifest: {error}") from error
    for batch in file.iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            key = row["key"].decode("utf-8", "surrogateescape")
            yield Entry(key, row["size"], row["etag"], row["last_modified"])


@dataclass
class _Chosen:
    """The entries that the run scores; when they are through, `left_out` says how many are no images."""

    entries: Iterable[Entry]
    spec: RunSpec
    left_out: int = 0

    def __iter__(self) -> Iterator[Entry]:
        included, excluded = _pattern(self.spec.include), _pattern(self.spec.exclude)
        for entry in self.entries:
            if not included.match(entry.key):
                self.left_out += 1
            elif not excluded.match(entry.key):
                yield entry


def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Matches what one of the globs matches, in either case; without a glob, nothing."""
    return re.compile("|".join(map(fnmatch.translate, globs)) or "(?!)", re.IGNORECASE)


def _write_manifests(
    output: Folder, run: str, entries: Iterator[Entry], shard_images: int
) -> Iterator[PlannedShard]:
    # Two planners of one run must not write over each other's manifests: plan.json says whose are right.
    planner = secrets.token_hex(4)
    for index, shard in enumerate(_parts(entries, shard_images)):
        path = f"{layout.plan_folder(run)}/manifest-{index:05}-{planner}.parquet"
        output.write(path, _manifest(shard))
        size_bytes = sum(entry.size for entry in shard)
        yield PlannedShard(index=index, manifest=path, images=len(shard), size_bytes=size_bytes)


def _parts(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    """At least one, so that a run of nothing still leaves a file that says so."""
    part = list(islice(entries, size))
    yield part
    while len(part) == size and (part := list(islice(entries, size))):
        yield part


def _manifest(entries: Iterable[Entry]) -> bytes:
    rows = [
        {
            "key": entry.key.encode("utf-8", "surrogateescape"),
            "size": entry.size,
            "etag": entry.etag,
            "last_modified": entry.last_modified,
        }
        for entry in entries
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA), file, compression="zstd")
    return file.getvalue()


def _shown(value: object) -> str:
    return ",".join(map(str, value)) or "nothing" if isinstance(value, tuple) else str(value)
