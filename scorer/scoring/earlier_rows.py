"""Rows of earlier runs by their numbers, of one file and of one part of it at a time."""

import logging
from contextlib import ExitStack
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fovea.errors import DataInvalid, ObjectMissing
from fovea.stores.folder import Folder
from scorer.files.manifest import DAMAGED
from scorer.files.rows import SCHEMA
from scorer.files.scratch import local_copy

logger = logging.getLogger(__name__)


class EarlierFiles:
    """The files of earlier runs, of which the last one asked for lies on the local disk."""

    def __init__(self, output: Folder) -> None:
        self._output = output
        self._copy = ExitStack()
        self._path = ""
        self._file: _RowsByNumber | None = None

    def __enter__(self) -> "EarlierFiles":
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
        self._file = _RowsByNumber(pq.ParquetFile(copy))


class _RowsByNumber:
    """Keeps the row group that the last row was in. Raises DataInvalid for a file with other columns."""

    def __init__(self, file: pq.ParquetFile) -> None:
        if not file.schema_arrow.equals(SCHEMA):
            raise DataInvalid("its columns are not those of this version of the scorer")
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self._file = file
        self._ends = np.cumsum(sizes)
        self._group = -1
        self._rows = SCHEMA.empty_table()

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
