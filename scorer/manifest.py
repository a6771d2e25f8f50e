"""The keys of one shard, in a parquet file that the planner writes and the shard's worker reads."""

import io
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fovea.errors import DataInvalid
from fovea.folder import Entry, Folder

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
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file, compression="zstd")
    output.write(path, file.getvalue())


def read_manifest(output: Folder, path: str) -> Iterator[PlannedImage]:
    """The images, sorted by key. Raises ObjectMissing, DataInvalid when the file is damaged."""
    try:
        file = pq.ParquetFile(io.BytesIO(output.read(path)))
    except pa.ArrowInvalid as error:
        raise DataInvalid(f"{output.uri}/{path}: not a manifest: {error}") from error
    for batch in file.iter_batches(batch_size=BATCH_ROWS):
        for row in batch.to_pylist():
            key = row["key"].decode("utf-8", "surrogateescape")
            entry = Entry(key, row["size"], row["etag"], row["last_modified"])
            yield PlannedImage(entry, row["carried"])
