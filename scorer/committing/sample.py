"""A few rows of a run, drawn evenly from all that have a label, in one pass and always the same ones."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scorer.committing.multi_label import LABELS, is_multi_label, said
from scorer.files.committed import CommittedPart

COLUMNS = ("etag", "top_labels", "top_probabilities", "run")


@dataclass(frozen=True)
class SampledRow:
    """What a run says of one image."""

    key: str
    """As the store knows it."""
    etag: str
    label: str
    """Of a multi-label model all that it has, for people."""
    probabilities: dict[str, float]
    """Of its best labels."""
    provider: str
    """What ran the model, by onnxruntime's name; empty for a row that was carried forward."""
    selected: frozenset[str] | None = None
    """Of a multi-label model those that it has."""


class Sample:
    """Every row gets a random number, seeded by the run's name, and the rows of the lowest are the sample."""

    def __init__(self, run: str, size: int) -> None:
        self._run, self._size = run, size
        self._random = np.random.default_rng(zlib.crc32(run.encode()))
        self._drawn: list[tuple[float, SampledRow]] = []

    def add(self, part: CommittedPart) -> None:
        """The run's next rows."""
        drawn = self._random.random(part.rows.num_rows)
        drawn[pc.not_equal(part.rows["status"], "ok").to_numpy()] = np.inf
        places = np.argsort(drawn, kind="stable")[: self._size]
        chosen = places[drawn[places] < (self._drawn[-1][0] if len(self._drawn) == self._size else np.inf)]
        answer = (LABELS, "probabilities") if is_multi_label(part.rows.column_names) else ("label",)
        rows = part.rows.select((*COLUMNS, *answer)).take(chosen).to_pylist()
        keys = part.keys.take(pa.array(chosen)).to_pylist()
        for number, key, row in zip(drawn[chosen], keys, rows, strict=True):
            own = row["run"] == self._run
            self._drawn.append((float(number), _sampled(key, row, part.provider if own else "")))
        self._drawn = sorted(self._drawn, key=lambda pair: pair[0])[: self._size]

    def rows(self) -> list[SampledRow]:
        """Sorted by key."""
        return sorted((row for _, row in self._drawn), key=lambda row: row.key)


def _sampled(key: bytes, row: dict[str, Any], provider: str) -> SampledRow:
    name = key.decode("utf-8", "surrogateescape")
    probabilities = dict(zip(row["top_labels"], row["top_probabilities"], strict=True))
    labels = row.get(LABELS)
    if labels is None:
        return SampledRow(name, str(row["etag"]), str(row["label"]), probabilities, provider)
    probabilities |= zip(labels, row["probabilities"], strict=True)
    return SampledRow(name, str(row["etag"]), said(labels), probabilities, provider, frozenset(labels))
