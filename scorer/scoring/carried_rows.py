"""The rows that a shard takes over from an earlier run, put in order among those that it scores."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fovea.stores.folder import Entry, Folder
from scorer.files.manifest import key_text, read_batches
from scorer.files.plan import PlannedShard
from scorer.files.rows import Outcome, RowWriter, Status, escaped
from scorer.scoring.earlier_rows import EarlierFiles

logger = logging.getLogger(__name__)

COLUMNS: Final = ["key", "etag", "carried_from", "carried_row"]


@dataclass(frozen=True)
class CarriedRows:
    """The rows of a shard's carried images, as the earlier run wrote them, sorted by key."""

    present: npt.NDArray[np.bool_]
    """Of every image of the shard, bool [images]: true if its row is here."""
    path: Path
    """The local file that has them."""
    statuses: Counter[Status]

    @property
    def count(self) -> int:
        return self.statuses.total()


def copy_carried_rows(output: Folder, shard: PlannedShard, path: Path) -> CarriedRows:
    """Copies the carried rows into a local file, from one earlier file after the other.

    A row that is not where the plan says is left out, with a warning: then its image is scored after all.
    Raises Unavailable when the store does not answer, DataInvalid when the manifest is damaged.
    """
    present = np.zeros(shard.images, np.bool_)
    statuses: Counter[Status] = Counter()
    with RowWriter(path) as writer, EarlierFiles(output) as files:
        done = 0
        for batch in read_batches(output, shard.manifest, COLUMNS) if shard.carried else ():
            for places, rows in _rows(files, batch):
                present[done + places] = True
                statuses.update(rows["status"].to_pylist())
                for part in rows.to_batches():
                    writer.write_batch(part)
            done += batch.num_rows
    if lost := shard.carried - statuses.total():
        logger.warning("carried rows that are gone, so that their images are scored again: %d", lost)
    return CarriedRows(present, path, statuses)


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


def _rows(files: EarlierFiles, images: pa.RecordBatch) -> Iterator[tuple[npt.NDArray[np.int64], pa.Table]]:
    """The carried rows of a part of the manifest, file by file, and their places in that part."""
    for path, places in _places(images["carried_from"]):
        planned = images.take(places)
        rows = files.rows(path, np.asarray(planned["carried_row"]))
        if rows:
            same = _same(rows, planned)
            yield places[same], rows.filter(pa.array(same))


def _places(carried_from: pa.DictionaryArray) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Each file that holds rows of a part of the manifest, and the places of these rows in that part."""
    files = np.asarray(carried_from.indices.fill_null(-1))
    for number, path in enumerate(carried_from.dictionary.to_pylist()):
        places = np.flatnonzero(files == number)
        if len(places):
            yield path, places


def _same(rows: pa.Table, planned: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which of the rows are those of the images, as they are planned."""
    keys = pa.array([escaped(key_text(key)) for key in planned["key"].to_pylist()], pa.string())
    return np.asarray(pc.and_(pc.equal(rows["key"], keys), pc.equal(rows["etag"], planned["etag"])))
