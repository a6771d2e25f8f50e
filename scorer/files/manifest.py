"""The keys of one shard, in a parquet file that the planner writes and the shard's worker reads."""

import io
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fovea.errors import DataInvalid
from fovea.stores.folder import Entry, Folder
from scorer.files.folders import local_copy

SCHEMA: Final = pa.schema(
    [
        # Bytes, because a local file's name need not be UTF-8, and the file has to be found again by it.
        pa.field("key", pa.binary(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("last_modified", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("carried_from", pa.dictionary(pa.int32(), pa.string())),
        pa.field("carried_row", pa.int32()),
    ]
)
"""carried_from is the file below the output that holds the image's row, and carried_row the row's number
there, from 0. Both are null if the image is to be scored."""

ROW_GROUP_ROWS: Final = 8192
"""A reader holds one row group at a time."""
BATCH_ROWS: Final = 1024
"""Of them, so many as objects of Python; the others are columns already."""

DAMAGED: Final = (pa.ArrowInvalid, OSError)
"""What reading a parquet file raises that is cut off or overwritten in places."""


class RowPlace(NamedTuple):
    """A row of an earlier run."""

    path: str
    """The file, below the output."""
    row: int


class PlannedImage(NamedTuple):
    """An image as the planner saw it."""

    entry: Entry
    carried: RowPlace | None = None
    """The row that is copied; None if the image is to be scored."""


class ManifestWriter:
    """Puts a manifest together in memory, compressed, by row groups. The images must come sorted by key."""

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._writer = pq.ParquetWriter(self._file, SCHEMA, compression="zstd")
        self._columns: list[list[Any]] = [[] for _ in SCHEMA]

    def add(self, entry: Entry, carried: RowPlace | None) -> None:
        key, size, etag, last_modified, carried_from, carried_row = self._columns
        key.append(key_bytes(entry.key))
        size.append(entry.size)
        etag.append(entry.etag)
        last_modified.append(entry.last_modified)
        carried_from.append(carried.path if carried else None)
        carried_row.append(carried.row if carried else None)
        if len(key) == ROW_GROUP_ROWS:
            self._flush()

    def write_to(self, output: Folder, path: str) -> None:
        """Raises Unavailable."""
        self._flush()
        self._writer.close()
        output.write(path, self._file.getvalue())

    def _flush(self) -> None:
        arrays = [pa.array(values, field.type) for values, field in zip(self._columns, SCHEMA, strict=True)]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
        self._columns = [[] for _ in SCHEMA]


def read_manifest(output: Folder, path: str) -> Iterator[PlannedImage]:
    """The images, sorted by key. Raises ObjectMissing, DataInvalid when the file is damaged."""
    for batch in read_batches(output, path):
        for key, size, etag, last_modified, carried_from, row in zip(*_values(batch), strict=True):
            entry = Entry(key_text(key), size, etag, last_modified)
            yield PlannedImage(entry, None if carried_from is None else RowPlace(carried_from, row))


def read_batches(output: Folder, path: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The manifest as record batches of at most BATCH_ROWS. Raises as `read_manifest`.

    The file lies on the local disk meanwhile; memory holds a part of it at a time.
    """
    with local_copy(output, path) as copy:
        try:
            file = pq.ParquetFile(copy)
            if not file.schema_arrow.equals(SCHEMA):
                raise DataInvalid(f"{output.uri}/{path}: not a manifest of this version of the scorer")
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)
        except DAMAGED as error:
            raise DataInvalid(f"{output.uri}/{path}: not a manifest: {error}") from error


def read_keys(output: Folder, path: str) -> pa.BinaryArray:
    """The keys of all images, as bytes. Raises as `read_manifest`."""
    batches = read_batches(output, path, ["key"])
    return pa.concat_arrays([pa.array([], pa.binary()), *(batch["key"] for batch in batches)])


def key_bytes(key: str) -> bytes:
    """A key as the store knows it, and by which listings are sorted."""
    return key.encode("utf-8", "surrogateescape")


def key_text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")


def _values(batch: pa.RecordBatch) -> list[list[Any]]:
    return [column.to_pylist() for column in batch.columns]
