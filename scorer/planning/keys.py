"""A run's keys from a file that names them, and what the store says of each."""

import io
import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from fovea.errors import DataInvalid, ObjectMissing, ObjectUnreadable, Unavailable
from fovea.ordered import Window, ordered_map
from fovea.stores.folder import Entry, Folder
from fovea.stores.storage import open_reachable
from scorer.files.manifest import BATCH_ROWS, key_text

logger = logging.getLogger(__name__)

COLUMN: Final = "key"
LOOKUPS_AT_ONCE: Final = 32
LOST_AFTER_LOOKUPS: Final = 100
"""So many lookups that fail in a row mean that the store is gone, not that so many images are bad."""

UNKNOWN: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When an object was last modified that the planner could not look up."""


def read_keys(uri: str) -> Iterator[str]:
    """The keys of a parquet or CSV file's column `key`, each once, sorted.

    All are held in memory, as bytes. Raises Unavailable; DataInvalid when the file is not there or not such
    a file, or a key is none that lies below a folder.
    """
    name = uri.rpartition("/")[2]
    folder = open_reachable(uri[: len(uri) - len(name)] or ".")
    keys = _read_column(folder.read(name), uri).unique()
    keys = keys.take(pc.sort_indices(keys))
    for start in range(0, len(keys), BATCH_ROWS):
        for key in keys.slice(start, BATCH_ROWS).to_pylist():
            yield _checked(key, uri)


def look_up(source: Folder, keys: Iterable[str]) -> Generator[Entry, None, None]:
    """What a listing would say of each key, many looked up at a time, in the order of the keys.

    What is not there, or cannot be looked up, has no size and no etag: reading it will say why.
    Raises Unavailable when it is the store that fails, and not a few of its objects.
    """
    failed = failed_in_a_row = 0
    last: Unavailable | None = None
    window = Window(2 * LOOKUPS_AT_ONCE)
    with closing(ordered_map(partial(_look_up_one, source), keys, LOOKUPS_AT_ONCE, window)) as lookups:
        for entry, error in lookups:
            failed_in_a_row = failed_in_a_row + 1 if error else 0
            if error and failed_in_a_row >= LOST_AFTER_LOOKUPS:
                raise Unavailable(f"{failed_in_a_row} lookups in a row failed, the last: {error}") from error
            if error:
                failed, last = failed + 1, error
            yield entry
    if failed:
        logger.warning("images that could not be looked up: %d, the last: %s", failed, last)


def _look_up_one(source: Folder, key: str) -> tuple[Entry, Unavailable | None]:
    unknown = Entry(key, 0, "", UNKNOWN)
    try:
        return source.stat(key), None
    except (ObjectMissing, ObjectUnreadable):
        return unknown, None
    except Unavailable as error:
        return unknown, error


def _read_column(data: bytes, uri: str) -> pa.Array:
    """As bytes: a local file's name need not be UTF-8."""
    if not data:
        raise DataInvalid(f"{uri}: the file is empty; {_RIGHT}")
    try:
        read = _of_parquet if data.startswith(b"PAR1") else _of_csv
        column = read(io.BytesIO(data)).cast(pa.binary())
    except KeyError as error:
        raise DataInvalid(f"{uri}: there is no column {COLUMN}; {_RIGHT}") from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataInvalid(
            f"{uri}: its keys cannot be read ({str(error).splitlines()[0]}); {_RIGHT}"
        ) from error
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.binary())


_RIGHT: Final = f"--keys takes a parquet or CSV file with a column {COLUMN}"


def _of_parquet(file: io.BytesIO) -> pa.ChunkedArray:
    reader = pq.ParquetFile(file)
    if COLUMN not in reader.schema_arrow.names:
        raise KeyError(COLUMN)
    return reader.read(columns=[COLUMN])[COLUMN]


def _of_csv(file: io.BytesIO) -> pa.ChunkedArray:
    as_bytes = pyarrow.csv.ConvertOptions(include_columns=[COLUMN], column_types={COLUMN: pa.binary()})
    return pyarrow.csv.read_csv(file, convert_options=as_bytes)[COLUMN]


def _checked(key: bytes | None, uri: str) -> str:
    """A key that names something below a folder, and cannot lead out of it."""
    text = key_text(key or b"")
    if not text or "\0" in text or not {"", ".", ".."}.isdisjoint(text.split("/")):
        raise DataInvalid(f"{uri}: {text!r} is no key; keys are relative to SOURCE, such as 2026/cat.jpg")
    return text
