"""The rows that a run writes: their schema, and the parquet file of one shard."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from fovea.errors import DataInvalid, Unavailable
from fovea.folder import Entry
from scorer.scratch import scratch_folder as scratch_folder

Status = Literal["ok", "undecodable", "too_large", "changed", "gone", "unreadable"]

FOOTER_KEY: Final = b"fovea"
ROW_GROUP_ROWS: Final = 8192
"""So many rows gather in memory before they go to the disk."""

_WORD: Final = pa.dictionary(pa.int32(), pa.string())

SCHEMA: Final = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("label", _WORD),
        pa.field("probability", pa.float32()),
        pa.field("top_labels", pa.list_(pa.string())),
        pa.field("top_probabilities", pa.list_(pa.float32())),
        pa.field("abstained", pa.bool_()),
        pa.field("model_name", _WORD, nullable=False),
        pa.field("model_version", pa.int32(), nullable=False),
        pa.field("model_digest", _WORD, nullable=False),
        pa.field("preprocess_digest", _WORD, nullable=False),
        pa.field("run", _WORD, nullable=False),
        pa.field("status", _WORD, nullable=False),
        pa.field("error", pa.string()),
        pa.field("scored_at", pa.timestamp("us", "UTC"), nullable=False),
    ]
)
"""Of a row that is not ok, label, probability, top_labels, top_probabilities and abstained are null."""


@dataclass(frozen=True)
class Failure:
    """Why an image got no label."""

    status: Status
    error: str


@dataclass(frozen=True)
class Answer:
    """What the model says of an image; labels and probabilities best first."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    abstained: bool


@dataclass(frozen=True)
class StageTime:
    """How long a stage's workers worked, of the time that they were there."""

    busy_s: float
    capacity_s: float


@dataclass(frozen=True)
class ShardCounts:
    """What the footer of a shard's file says of it. `elapsed_s` ends before the file is put in its place."""

    statuses: dict[Status, int]
    elapsed_s: float
    stages: dict[str, StageTime]

    def as_json(self) -> bytes:
        stages = {name: vars(stage) for name, stage in self.stages.items()}
        return json.dumps({**vars(self), "stages": stages}).encode()

    @classmethod
    def of_footer(cls, data: bytes) -> "ShardCounts":
        fields = json.loads(data)
        stages = {name: StageTime(**stage) for name, stage in fields.pop("stages").items()}
        return cls(**fields, stages=stages)


@dataclass
class RowWriter:
    """Writes rows to one local parquet file. Raises Unavailable when the disk does not take them."""

    path: Path
    same_in_all: dict[str, object] = field(default_factory=dict)
    """The columns whose value is the same in every row."""

    def __enter__(self) -> "RowWriter":
        try:
            self._writer = pq.ParquetWriter(self.path, SCHEMA, compression="zstd")
        except OSError as error:
            raise self._failure(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
        except OSError as failure:
            raise self._failure(failure) from failure

    def write(
        self, entries: Sequence[Entry], answers: Sequence[Answer | Failure], scored_at: datetime
    ) -> None:
        rows = [
            {**self.same_in_all, **_row(entry, answer), "scored_at": scored_at}
            for entry, answer in zip(entries, answers, strict=True)
        ]
        self.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))

    def write_batch(self, batch: pa.RecordBatch) -> None:
        try:
            # Batches are gathered into row groups of this size, instead of each becoming its own.
            self._writer.write_batch(batch, row_group_size=ROW_GROUP_ROWS)
        except OSError as error:
            raise self._failure(error) from error

    def write_footer(self, counts: ShardCounts) -> None:
        self._writer.add_key_value_metadata({FOOTER_KEY: counts.as_json()})

    def _failure(self, error: OSError) -> Unavailable:
        return Unavailable(f"{self.path}: cannot be written: {error}")


def read_shard(data: bytes, where: str) -> tuple[pa.Table, ShardCounts]:
    """A shard's rows and what its footer says of them. Raises DataInvalid, naming `where`."""
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        return file.read(), ShardCounts.of_footer(file.metadata.metadata[FOOTER_KEY])
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise DataInvalid(f"{where}: not a shard's file: {error}") from error


def escaped(text: str) -> str:
    r"""Text that is UTF-8 for sure: bytes of a file name that are not become `\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _row(entry: Entry, answer: Answer | Failure) -> dict[str, Any]:
    what = {"key": escaped(entry.key), "etag": entry.etag, "size": entry.size}
    if isinstance(answer, Failure):
        return {**what, "status": answer.status, "error": escaped(answer.error)}
    return {
        **what,
        "label": answer.labels[0],
        "probability": answer.probabilities[0],
        "top_labels": answer.labels,
        "top_probabilities": answer.probabilities,
        "abstained": answer.abstained,
        "status": "ok",
    }
