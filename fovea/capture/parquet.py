"""Rows as a parquet file. Is loaded where captures are written or read: pyarrow takes a while, and memory."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from fovea.capture.rows import Captured, Window
from fovea.errors import DataInvalid

FORMAT: Final = 1
FOOTER_KEY: Final = b"fovea"
GROUP_BYTES: Final = 8 * 1024 * 1024
"""Of a row group's images, unless it has but one: a reader has a group in memory at a time."""
GROUP_ROWS: Final = 1024

_WORD: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("image", pa.binary()),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("label", _WORD, nullable=False),
        pa.field("probability", pa.float32(), nullable=False),
        pa.field("top_labels", pa.list_(pa.string()), nullable=False),
        pa.field("top_probabilities", pa.list_(pa.float32()), nullable=False),
        pa.field("margin", pa.float32(), nullable=False),
        pa.field("abstained", pa.bool_(), nullable=False),
        pa.field("distance", pa.float32()),
        pa.field("unknown", pa.bool_()),
        pa.field("model_name", _WORD, nullable=False),
        pa.field("model_version", pa.int32(), nullable=False),
        pa.field("model_digest", _WORD, nullable=False),
        pa.field("answered_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("reason", _WORD, nullable=False),
        pa.field("run", _WORD),
        pa.field("key", pa.string()),
        pa.field("shadow_label", _WORD),
        pa.field("shadow_probability", pa.float32()),
        pa.field("shadow_version", pa.int32()),
    ]
)
LABELS: Final = tuple(pa.field(name, pa.list_(pa.string())) for name in ("labels", "shadow_labels"))
"""Columns more where a row is of a multi-label model; null in the others."""
_NAMES: Final = tuple(field.name for field in fields(Captured))
_LISTS: Final = ("top_labels", "top_probabilities", *(field.name for field in LABELS))
# Image files are compressed already.
_COMPRESSION: Final = {name: "none" if name == "image" else "zstd" for name in (*SCHEMA.names, *_LISTS)}


def encode(rows: Sequence[Captured], window: Window) -> bytes:
    """A whole file, in memory."""
    file = io.BytesIO()
    has_labels = any(row.labels is not None or row.shadow_labels is not None for row in rows)
    schema = pa.schema([*SCHEMA, *LABELS]) if has_labels else SCHEMA
    writer = pq.ParquetWriter(file, schema, compression=_COMPRESSION, use_dictionary=_words())
    with writer:
        for group in _groups(rows):
            writer.write_table(_table(group, schema))
        writer.add_key_value_metadata({FOOTER_KEY: _footer(window)})
    return file.getvalue()


def decode(path: Path, where: str) -> Iterator[Captured]:
    """The rows of a file, a group in memory at a time. Raises DataInvalid, naming `where`."""
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from _rows(file.read_row_group(group, columns=[*_NAMES]))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DataInvalid(f"{where}: not a capture's file: {error}") from error


def window_of(path: Path, where: str) -> Window:
    """What the file's rows are a sample of. Raises DataInvalid, naming `where`."""
    try:
        told = json.loads(pq.read_metadata(path).metadata[FOOTER_KEY])
        began, ended = (datetime.fromisoformat(told[name]) for name in ("began", "ended"))
        return Window(began, ended, told["answers"], told["seen"], told["share"])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DataInvalid(f"{where}: not a capture's file: {error}") from error


def _words() -> list[str]:
    return [field.name for field in SCHEMA if field.type == _WORD]


def _groups(rows: Iterable[Captured]) -> Iterator[list[Captured]]:
    group: list[Captured] = []
    size_bytes = 0
    for row in rows:
        held = len(row.image or b"")
        if group and (size_bytes + held > GROUP_BYTES or len(group) == GROUP_ROWS):
            yield group
            group, size_bytes = [], 0
        group.append(row)
        size_bytes += held
    if group:
        yield group


def _table(rows: Sequence[Captured], schema: pa.Schema) -> pa.Table:
    columns = [pa.array([getattr(row, each.name) for row in rows], each.type) for each in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _footer(window: Window) -> bytes:
    told: dict[str, Any] = {"format": FORMAT, **asdict(window)}
    return json.dumps(told | {"began": window.began.isoformat(), "ended": window.ended.isoformat()}).encode()


def _rows(table: pa.Table) -> Iterator[Captured]:
    """One after the other: as objects of Python the whole group would be there a second time."""
    for number in range(table.num_rows):
        (row,) = table.slice(number, 1).to_pylist()
        lists = {name: tuple(row[name]) for name in _LISTS if row.get(name) is not None}
        yield Captured(**row | lists)
