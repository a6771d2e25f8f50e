"""A run that was finished earlier: which one is carried forward, and its rows, read shard by shard."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow.parquet as pq

from fovea.errors import DataInvalid
from fovea.stores.folder import Entry, Folder
from scorer.files import layout
from scorer.files.folders import local_copy
from scorer.files.latest import read_latest
from scorer.files.manifest import BATCH_ROWS, DAMAGED, RowPlace, read_batches, read_manifest
from scorer.files.plan import Plan, PlannedShard, RunSpec, read_plan

logger = logging.getLogger(__name__)

MUST_BE_SAME: Final = (
    "source",
    "model_digest",
    "preprocess_digest",
    "image_path",
    "earlier_image_path",
    "top_k",
    "label_set_quantile",
    "distances",
    "embeddings",
)
"""Of two runs, for the rows of one to be those of the other."""


class EarlierRow(NamedTuple):
    """What the join needs of a row, and where it is."""

    key: bytes
    """As the store knows it: the row itself shows bytes that are not UTF-8 in another way."""
    etag: str
    status: str
    path: str
    """The file, below the output."""
    row: int


class EarlierImage(NamedTuple):
    """An image as the earlier run's plan has it, and its row."""

    entry: Entry
    status: str
    where: RowPlace


@dataclass(frozen=True)
class EarlierRun:
    """A finished run. One shard of it lies on the local disk at a time."""

    output: Folder
    plan: Plan

    @property
    def name(self) -> str:
        return self.plan.spec.run

    def rows(self) -> Iterator[EarlierRow]:
        """Sorted by key. A shard that is damaged or gone is passed over, with a warning."""
        for shard in self.plan.shards:
            path, statuses = self._path(shard), self._statuses(shard)
            try:
                for row, (key, etag) in enumerate(self._keys(shard)):
                    yield EarlierRow(key, etag, next(statuses), path, row)
            except DataInvalid as error:
                logger.warning("rows of run %s are not carried forward: %s", self.name, error)

    def images(self) -> Iterator[EarlierImage]:
        """Sorted by key. Raises DataInvalid when a shard is damaged or gone."""
        for shard in self.plan.shards:
            path, statuses = self._path(shard), self._statuses(shard)
            for row, image in enumerate(read_manifest(self.output, shard.manifest)):
                yield EarlierImage(image.entry, next(statuses), RowPlace(path, row))

    def _path(self, shard: PlannedShard) -> str:
        return f"{layout.run_folder(self.name)}/{layout.shard_file(shard.index)}"

    def _keys(self, shard: PlannedShard) -> Iterator[tuple[bytes, str]]:
        for batch in read_batches(self.output, shard.manifest, ["key", "etag"]):
            yield from zip(batch["key"].to_pylist(), batch["etag"].to_pylist(), strict=True)

    def _statuses(self, shard: PlannedShard) -> Iterator[str]:
        """Of the rows, which are those of the shard's manifest, in its order."""
        path = self._path(shard)
        with local_copy(self.output, path) as copy:
            try:
                file = pq.ParquetFile(copy)
                rows = file.metadata.num_rows
                if rows != shard.images:
                    raise DataInvalid(f"{path}: {rows} rows, though {shard.images} are planned")
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=["status"]):
                    yield from batch.column(0).to_pylist()
            except DAMAGED as error:
                raise DataInvalid(f"{path}: not a shard's file: {error}") from error


def previous_run(output: Folder, spec: RunSpec) -> EarlierRun | str:
    """The run that latest.json names, if its rows can be those of `spec`; else why there is none."""
    latest = read_latest(output)
    if latest is None:
        return f"no run below {output.uri} is finished yet"
    try:
        run = finished_run(output, latest.run)
    except DataInvalid as error:
        return str(error)
    different = [name for name in MUST_BE_SAME if getattr(run.plan.spec, name) != getattr(spec, name)]
    return f"run {run.name} has another {different[0].replace('_', ' ')}" if different else run


def finished_run(output: Folder, name: str) -> EarlierRun:
    """Raises DataInvalid when there is no such run, or it is not finished."""
    plan = read_plan(output, name)
    if plan is None:
        raise DataInvalid(f"{output.uri}: there is no plan of a run {name}")
    if not output.exists(f"{layout.run_folder(name)}/{layout.SUCCESS}"):
        raise DataInvalid(f"{output.uri}: run {name} is not finished; `--run-id {name}` goes on with it")
    return EarlierRun(output, plan)
