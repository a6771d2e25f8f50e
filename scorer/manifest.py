"""The keys of one shard, in a parquet file that the planner writes and the shard's worker reads."""

import io
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fovea.errors import DataInvalid
from fovea.folder import Entry, Folder
from scorer.scratch import local_copy

SCHEMA: Final = pa.schema(
    [
        # Bytes, because a local file's name need not be UTF-8, and the file has to be found again by it.
        pa.field("key", pa.binary(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("last_modified", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("carried", pa.bool_(), nullable=False),
    ]
)

BATCH_ROWS: Final = 1024
ROW_GROUP_ROWS: Final = 8192
"""A reader holds one row group at a time."""


class PlannedImage(NamedTuple):
    """An image as the planner saw it."""

    entry: Entry
    carried: bool
    """An earlier run holds its row, which is copied."""


def write_manifest(output: Folder, path: str, images: Iterable[PlannedImage]) -> None:
    """The images must be sorted by key. Raises Unavailable."""
    rows = [
        {
            "key": entry.key.encode("utf-8", "surrogateescape"),
            "size": entry.size,
            "etag": entry.etag,
            "last_modified": entry.last_modified,
            "carried": carried,
        }
        for entry, carried in images
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file, ROW_GROUP_ROWS, compression="zstd")
    output.write(path, file.getvalue())


def read_manifest(output: Folder, path: str) -> Iterator[PlannedImage]:
    """The images, sorted by key. Raises ObjectMissing, DataInvalid when the file is damaged.

    The file lies on the local disk meanwhile; memory holds a part of it at a time.
    """
    with local_copy(output, path) as copy:
        try:
            for batch in pq.ParquetFile(copy).iter_batches(batch_size=BATCH_ROWS):
                yield from map(_planned, batch.to_pylist())
        except (pa.ArrowInvalid, KeyError) as error:
            raise DataInvalid(f"{output.uri}/{path}: not a manifest: {error}") from error


def _planned(row: dict[str, Any]) -> PlannedImage:
    key = row["key"].decode("utf-8", "surrogateescape")
    return PlannedImage(Entry(key, row["size"], row["etag"], row["last_modified"]), row["carried"])
