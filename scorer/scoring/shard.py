"""Scores one shard: its images fetched, decoded, classified, and its rows put where they belong, once.

    manifest -> fetch (many at once) -> decode and classify (a batch a core) -> parquet -> put if absent

The rows of carried images are copied from an earlier run's files, and skip all stages but the last two.
Each stage runs only a bounded number of items and bytes ahead of the next, and rows that are copied wait on
the disk, so memory does not grow with the shard. Rows keep the order of the keys.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fovea.errors import BundleInvalid, DataInvalid
from fovea.images.formats import image_path_text
from fovea.model import versions
from fovea.model.classifier import Classifier, Provider
from fovea.stores.folder import Entry
from fovea.stores.storage import open_folder
from scorer.files import layout
from scorer.files.folders import mapped, scratch_folder
from scorer.files.manifest import read_manifest
from scorer.files.plan import PlannedShard, RunSpec
from scorer.files.rows import Outcome, RowWriter, ShardCounts, Status, schema_of
from scorer.scoring.capturing import ShardCaptures, ShardCaptureSpec
from scorer.scoring.carried_rows import CarriedRows, copy_carried_rows
from scorer.scoring.pipeline import GPU_BATCH, Pipeline, Resources


@dataclass(frozen=True)
class ShardSpec:
    """All that scoring a shard needs to know."""

    output: str
    run: RunSpec
    shard: PlannedShard
    resources: Resources
    capture: ShardCaptureSpec | None = None


def score_shard(spec: ShardSpec, progress: Callable[[int], None] = lambda images: None) -> ShardCounts | None:
    """Scores the shard and puts its parquet file if it is absent: that put is the commit.

    Returns the shard's counts when it was this call that wrote it, otherwise None. `progress` hears of each
    batch's size.
    Raises Unavailable when a store is gone (single images that cannot be read become rows instead),
    BundleInvalid when the model is not the one that was planned. Then nothing is written.
    """
    resources = spec.resources
    classifier = load_classifier(
        spec.run, resources.provider, resources.threads, resources.model_cache, resources.batch_size
    )
    output = open_folder(spec.output, long_retries=True)
    with scratch_folder() as folder:
        path = folder / "shard.parquet"
        carried = copy_carried_rows(output, spec.shard, folder / "carried.parquet", schema_of(spec.run))
        images = zip(read_manifest(output, spec.shard.manifest), carried.present, strict=True)
        entries = (image.entry for image, is_carried in images if not is_carried)
        counts = _write_rows(spec, classifier, carried, entries, path, progress)
        run = output.folder(layout.run_folder(spec.run.run))
        wrote = run.put_if_absent(layout.shard_file(spec.shard.index), mapped(path))
    return counts if wrote else None


@lru_cache(maxsize=1)
def load_classifier(
    run: RunSpec, provider: Provider, threads: int, cache: Path | None, batch_size: int | None
) -> Classifier:
    """The planned model, after its golden check; kept for the next shard.

    Raises BundleInvalid, and DataInvalid where the decoders are not those that the rows were planned by.

    `batch_size` is as of `Resources`.
    """
    if run.image_path and run.image_path != (here := image_path_text()):
        raise DataInvalid(
            f"this run was planned with other decoders ({run.image_path}) than there are here ({here}); plan "
            "and work with the same image, or take another --run-id"
        )
    bundle = versions.fetch(run.models, run.model_version, cache, long_retries=True)
    if bundle.digest != run.model_digest:
        digests = f"{bundle.digest[:12]}, not {run.model_digest[:12]}"
        raise BundleInvalid(f"{bundle.path}: not the model that was planned (its digest is {digests})")
    # A GPU knows this size alone, and smaller batches are padded: its first run of each size takes seconds.
    return Classifier(bundle, provider, threads, batch_sizes=(batch_size or GPU_BATCH,))


def _write_rows(
    spec: ShardSpec,
    classifier: Classifier,
    carried: CarriedRows,
    entries: Iterable[Entry],
    path: Path,
    progress: Callable[[int], None],
) -> ShardCounts:
    captures = ShardCaptures(spec.capture, spec.run) if spec.capture else None
    keeps_files = captures is not None
    pipeline = Pipeline(spec.run, spec.resources, spec.shard.images, classifier, keeps_files=keeps_files)
    statuses: Counter[Status] = Counter(carried.statuses)
    writing = RowWriter(path, spec.run.row_columns, schema_of(spec.run))
    with writing as writer, pipeline.scored(entries) as batches:
        rows = RowsInOrder(writer, carried)
        for batch in batches:
            scored_at = datetime.now(UTC)
            with pipeline.write_time.running():
                rows.write(batch.entries, batch.outcomes, scored_at)
            if captures:
                captures.offer(batch, scored_at)
            statuses.update(outcome.status for outcome in batch.outcomes)
            progress(len(batch.entries))
        with pipeline.write_time.running():
            rows.finish()
        elapsed_s, stages = pipeline.elapsed()
        counts = ShardCounts(dict(statuses), elapsed_s, stages, carried.count, classifier.provider)
        writer.write_footer(counts)
    if captures:
        captures.put()
    return counts


class RowsInOrder:
    """Writes the rows of scored images, each after the carried rows that come before it."""

    def __init__(self, writer: RowWriter, carried: CarriedRows) -> None:
        self._writer = writer
        scored = np.flatnonzero(~carried.present)
        # How many carried rows come before each scored one, and after the last.
        self._gaps = np.diff(scored, prepend=-1, append=len(carried.present)) - 1
        self._batches = pq.ParquetFile(carried.path).iter_batches()
        self._batch: pa.RecordBatch | None = None
        self._written = 0

    def write(self, entries: Sequence[Entry], outcomes: Sequence[Outcome], scored_at: datetime) -> None:
        """As RowWriter.write."""
        gaps = self._gaps[self._written : self._written + len(entries)]
        self._written += len(entries)
        start = 0
        for place in np.flatnonzero(gaps).tolist():
            self._writer.write(entries[start:place], outcomes[start:place], scored_at)
            self._copy(int(gaps[place]))
            start = place
        self._writer.write(entries[start:], outcomes[start:], scored_at)

    def finish(self) -> None:
        """Writes the rows that are left."""
        self._copy(int(self._gaps[-1]))
        self._writer.flush()

    def _copy(self, count: int) -> None:
        while count:
            if not self._batch:
                self._batch = next(self._batches)
            part = self._batch.slice(0, count)
            self._writer.write_batch(part)
            self._batch = self._batch.slice(part.num_rows)
            count -= part.num_rows
