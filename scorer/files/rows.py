"""The rows that a run writes: their schema, and the parquet file of one shard."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from fovea.errors import DataInvalid, Unavailable
from fovea.model.task import Task
from fovea.stores.folder import Entry
from fovea.truth.known_classes import Embeddings
from scorer.files.plan import RunSpec

Status = Literal["ok", "undecodable", "too_large", "changed", "gone", "unreadable"]

FOOTER_KEY: Final = b"fovea"
ROW_GROUP_ROWS: Final = 8192
"""So many rows gather in memory before they go to the disk."""
BATCH_ROWS: Final = 1024
"""Of them, so many as objects of Python; the others are columns already."""
PART_ROWS: Final = 16_384
"""So many of a shard's rows are in memory at a time where it is read."""

_WORD: Final = pa.dictionary(pa.int32(), pa.string())

_IMAGE: Final = (
    pa.field("key", pa.string(), nullable=False),
    pa.field("etag", pa.string(), nullable=False),
    pa.field("size", pa.int64(), nullable=False),
)
_BEST: Final = (
    pa.field("top_labels", pa.list_(pa.string())),
    pa.field("top_probabilities", pa.list_(pa.float32())),
)
_ANSWER: Final[Mapping[Task, tuple[pa.Field, ...]]] = {
    "single": (
        pa.field("label", _WORD),
        pa.field("probability", pa.float32()),
        *_BEST,
        pa.field("abstained", pa.bool_()),
    ),
    "multi": (
        pa.field("labels", pa.list_(pa.string())),
        pa.field("probabilities", pa.list_(pa.float32())),
        *_BEST,
    ),
}
"""Of a row that is not ok, all of these are null."""
_MADE_BY: Final = (
    pa.field("model_name", _WORD, nullable=False),
    pa.field("model_version", pa.int32(), nullable=False),
    pa.field("model_digest", _WORD, nullable=False),
    pa.field("preprocess_digest", _WORD, nullable=False),
    pa.field("run", _WORD, nullable=False),
    pa.field("status", _WORD, nullable=False),
    pa.field("error", pa.string()),
    pa.field("scored_at", pa.timestamp("us", "UTC"), nullable=False),
)


def _schema(task: Task) -> pa.Schema:
    return pa.schema([*_IMAGE, *_ANSWER[task], *_MADE_BY])


SCHEMA: Final = _schema("single")
LABEL_SET: Final = pa.field("label_set", pa.list_(pa.string()))
"""Null of a row that is not ok; empty of some of the surest images, by a draw: see `fovea.truth.sets`."""
DISTANCE: Final = (pa.field("distance", pa.float32()), pa.field("unknown", pa.bool_()))
EMBEDDING: Final = pa.field("embedding", pa.list_(pa.float32()))
"""Null of a row that is not ok, as these are."""


def schema_of(spec: RunSpec) -> pa.Schema:
    """Of a run's rows: they have some columns only where the run was asked for them."""
    asked = [LABEL_SET] if spec.label_set_quantile is not None else []
    asked += DISTANCE if spec.distances else ()
    asked += [EMBEDDING] if spec.embeddings else []
    return pa.schema([*_schema(spec.task), *asked])


@dataclass(frozen=True)
class Failure:
    """Why an image got no label."""

    status: Status
    error: str
    store_failed: bool = False
    """It may not be this image's fault."""


@dataclass(frozen=True)
class TopLabels:
    """What the model says of an image; labels and probabilities best first."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    abstained: bool
    label_set: tuple[str, ...] | None = None
    """best first, perhaps empty; None where nobody asked"""
    distance: float | None = None
    unknown: bool | None = None
    embedding: Embeddings | None = None
    """float32 [D]"""
    margin: float | None = None
    """How nearly it is another answer, see `fovea.capture.reasons`; None where nothing is captured."""
    selected: tuple[str, ...] | None = None
    """Of a multi-label model those that the image has, best first; None of another."""
    selected_probabilities: tuple[float, ...] | None = None
    status: Literal["ok"] = "ok"

    @property
    def given(self) -> tuple[str, ...]:
        """The label that it gives, or each label that it selects."""
        return self.labels[:1] if self.selected is None else self.selected


Outcome = TopLabels | Failure
"""What became of an image."""


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
    """fetch, decode, compute, write, and cpu: the process's CPU time, of that of all its cores."""
    carried: int = 0
    """Of the rows, those that were copied from an earlier run."""
    provider: str = ""
    """What ran the model, by onnxruntime's name."""

    def as_json(self) -> bytes:
        stages = {name: vars(stage) for name, stage in self.stages.items()}
        return json.dumps({**vars(self), "stages": stages}).encode()

    @classmethod
    def of_footer(cls, data: bytes) -> "ShardCounts":
        fields = json.loads(data)
        stages = {name: StageTime(**stage) for name, stage in fields.pop("stages").items()}
        return cls(**fields, stages=stages)


_Row = tuple[Entry, Outcome, datetime]


@dataclass
class RowWriter:
    """Writes rows to one local parquet file. Raises Unavailable when the disk does not take them."""

    path: Path
    same_in_all: dict[str, object] = field(default_factory=dict)
    """The columns whose value is the same in every row."""
    schema: pa.Schema = SCHEMA
    _rows: list[_Row] = field(default_factory=list, init=False)
    _batches: list[pa.RecordBatch] = field(default_factory=list, init=False)

    def __enter__(self) -> "RowWriter":
        try:
            by_key = pq.SortingColumn(self.schema.get_field_index("key"))
            self._writer = pq.ParquetWriter(
                self.path, self.schema, compression="zstd", sorting_columns=[by_key]
            )
        except OSError as error:
            raise self._failure(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
            self._writer.close()
        except OSError as failure:
            raise self._failure(failure) from failure

    def write(self, entries: Sequence[Entry], outcomes: Sequence[Outcome], scored_at: datetime) -> None:
        """A few rows more, which wait for others."""
        self._rows += [(*pair, scored_at) for pair in zip(entries, outcomes, strict=True)]
        if len(self._rows) >= BATCH_ROWS:
            self._encode()

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Rows that are made already, after those that wait."""
        self._encode()
        self._gather(batch)

    def flush(self) -> None:
        """Writes the rows that wait."""
        self._encode()
        self._write_group(pa.Table.from_batches(self._batches, self.schema))
        self._batches = []

    def _encode(self) -> None:
        if self._rows:
            columns = _columns(self._rows)
            columns |= {name: [value] * len(self._rows) for name, value in self.same_in_all.items()}
            arrays = [pa.array(columns[field.name], field.type) for field in self.schema]
            self._rows = []
            self._gather(pa.RecordBatch.from_arrays(arrays, schema=self.schema))

    def _gather(self, batch: pa.RecordBatch) -> None:
        # Each call of the writer makes a row group, so it has to come with as many rows as one should have.
        self._batches.append(batch)
        while sum(batch.num_rows for batch in self._batches) >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(self._batches, self.schema)
            self._write_group(table.slice(0, ROW_GROUP_ROWS))
            self._batches = table.slice(ROW_GROUP_ROWS).to_batches()

    def _write_group(self, rows: pa.Table) -> None:
        try:
            if rows.num_rows:
                self._writer.write_table(rows, ROW_GROUP_ROWS)
        except OSError as error:
            raise self._failure(error) from error

    def write_footer(self, counts: ShardCounts) -> None:
        self._writer.add_key_value_metadata({FOOTER_KEY: counts.as_json()})

    def _failure(self, error: OSError) -> Unavailable:
        return Unavailable(f"{self.path}: cannot be written: {error}")


@dataclass(frozen=True)
class ShardFile:
    """A shard's file in memory, its rows still compressed."""

    where: str
    """What errors call it."""
    file: pq.ParquetFile
    counts: ShardCounts

    @classmethod
    def open(cls, data: bytes, where: str) -> "ShardFile":
        """Raises DataInvalid, naming `where`."""
        try:
            file = pq.ParquetFile(io.BytesIO(data))
            return cls(where, file, ShardCounts.of_footer(file.metadata.metadata[FOOTER_KEY]))
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
            raise _damaged(where, error) from error

    def parts(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows, some at a time; by default with all their columns. Raises DataInvalid."""
        try:
            for batch in self.file.iter_batches(PART_ROWS, columns=columns):
                yield pa.Table.from_batches([batch])
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self.where, error) from error


def _damaged(where: str, error: Exception) -> DataInvalid:
    return DataInvalid(f"{where}: not a shard's file: {error}")


def escaped(text: str) -> str:
    r"""Text that is UTF-8 for sure: bytes of a file name that are not become `\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _columns(rows: list[_Row]) -> dict[str, list[Any]]:
    """The columns that differ from row to row."""
    good = [None if isinstance(outcome, Failure) else outcome for _, outcome, _ in rows]
    bad = [outcome if isinstance(outcome, Failure) else None for _, outcome, _ in rows]
    return {
        "key": [escaped(entry.key) for entry, _, _ in rows],
        "etag": [entry.etag for entry, _, _ in rows],
        "size": [entry.size for entry, _, _ in rows],
        "label": [top and top.labels[0] for top in good],
        "probability": [top and top.probabilities[0] for top in good],
        "top_labels": [top and top.labels for top in good],
        "top_probabilities": [top and top.probabilities for top in good],
        "abstained": [top and top.abstained for top in good],
        "labels": [top and top.selected for top in good],
        "probabilities": [top and top.selected_probabilities for top in good],
        "label_set": [top and top.label_set for top in good],
        "distance": [top and top.distance for top in good],
        "unknown": [top and top.unknown for top in good],
        "embedding": [top and top.embedding for top in good],
        "status": [failure.status if failure else "ok" for failure in bad],
        "error": [failure and escaped(failure.error) for failure in bad],
        "scored_at": [scored_at for _, _, scored_at in rows],
    }
