"""The rows that a shard takes over from an earlier run, read by their numbers, a part of a file at a time."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fovea.errors import DataInvalid, ObjectMissing
from fovea.stores.folder import Folder
from scorer.files.folders import local_copy
from scorer.files.manifest import DAMAGED, key_text, read_batches
from scorer.files.plan import PlannedShard
from scorer.files.rows import SCHEMA, RowWriter, Status, escaped

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


def copy_carried_rows(
    output: Folder, shard: PlannedShard, path: Path, schema: pa.Schema = SCHEMA
) -> CarriedRows:
    """Copies the carried rows, which have this schema, into a local file, from one earlier file after the
    other.

    A row that is not where the plan says is left out, with a warning: then its image is scored after all.
    Raises Unavailable when the store does not answer, DataInvalid when the manifest is damaged.
    """
    present = np.zeros(shard.images, np.bool_)
    statuses: Counter[Status] = Counter()
    with RowWriter(path, schema=schema) as writer, _EarlierFiles(output, schema) as files:
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


def _rows(files: "_EarlierFiles", images: pa.RecordBatch) -> Iterator[tuple[npt.NDArray[np.int64], pa.Table]]:
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


class _EarlierFiles:
    """The files of earlier runs, of which the last one asked for lies on the local disk."""

    def __init__(self, output: Folder, schema: pa.Schema) -> None:
        self._output, self._schema = output, schema
        self._copy = ExitStack()
        self._path = ""
        self._file: _RowsByNumber | None = None

    def __enter__(self) -> "_EarlierFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._copy.close()

    def rows(self, path: str, numbers: npt.NDArray[np.int32]) -> pa.Table | None:
        """The rows of these numbers, which must ascend. None, with a warning, if the file has no such rows.

        Raises Unavailable.
        """
        try:
            if path != self._path:
                self._open(path)
            return self._file.take(numbers) if self._file else None
        except ObjectMissing as error:
            logger.warning("rows cannot be copied: %s", error)
        except (DataInvalid, *DAMAGED) as error:
            logger.warning("rows cannot be copied from %s: %s", path, error)
        self._file = None  # and it is not tried again
        return None

    def _open(self, path: str) -> None:
        self._copy.close()
        self._path, self._file = path, None
        copy = self._copy.enter_context(local_copy(self._output, path))
        self._file = _RowsByNumber(pq.ParquetFile(copy), self._schema)


class _RowsByNumber:
    """Keeps the row group that the last row was in. Raises DataInvalid for a file with other columns."""

    def __init__(self, file: pq.ParquetFile, schema: pa.Schema) -> None:
        if not file.schema_arrow.equals(schema):
            raise DataInvalid("its columns are not those of this version of the scorer")
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self._file = file
        self._ends = np.cumsum(sizes)
        self._group = -1
        self._rows = schema.empty_table()

    def take(self, numbers: npt.NDArray[np.int32]) -> pa.Table:
        """Raises DataInvalid if there are not so many rows."""
        if numbers[-1] >= self._file.metadata.num_rows:
            raise DataInvalid(f"it has {self._file.metadata.num_rows} rows, and no row {numbers[-1]}")
        groups = np.searchsorted(self._ends, numbers, side="right")
        return pa.concat_tables(
            [self._take_from(group, numbers[groups == group]) for group in np.unique(groups)]
        )

    def _take_from(self, group: int, numbers: npt.NDArray[np.int32]) -> pa.Table:
        if group != self._group:
            self._group, self._rows = group, self._file.read_row_group(group)
        return self._rows.take(numbers - (self._ends[group] - len(self._rows)))
