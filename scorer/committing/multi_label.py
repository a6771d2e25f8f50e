"""Rows of a multi-label model, as they are compared: an image has any number of labels, which are a set."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from scorer.files.summary import LabelTurns

LABELS: Final = "labels"
"""The column that rows of a multi-label model have, and others do not."""
COLUMNS: Final = (LABELS, "probabilities", "top_labels", "top_probabilities")
NONE: Final = "none"
"""What an image is said to be that has no label."""
SEPARATOR: Final = ", "


def is_multi_label(columns: Iterable[str]) -> bool:
    """Whether rows with these columns are of a multi-label model."""
    return LABELS in columns


def label_counts(rows: pa.Table) -> dict[str, int]:
    """Label -> rows that have it."""
    counted = pc.value_counts(pc.list_flatten(rows[LABELS])).to_pylist()
    return {count["values"]: count["counts"] for count in counted}


def set_texts(rows: pa.Table) -> pa.Array:
    """Each row's labels as `set_text` of them; null where a row is not ok."""
    joined = pc.binary_join(rows[LABELS], "\0").combine_chunks().dictionary_encode()
    # An image without labels is an empty text as well as one of the label "", which no model has.
    sets = [set_text(text.split("\0") if text else ()) for text in joined.dictionary.to_pylist()]
    return pa.array(sets, pa.string()).take(joined.indices)


def set_text(labels: Iterable[str]) -> str:
    """The same for equal sets: their labels sorted, as JSON."""
    return json.dumps(sorted(labels), ensure_ascii=False)


def shown(text: str) -> str:
    """A `set_text` for people."""
    return said(json.loads(text))


def said(labels: Iterable[str]) -> str:
    return SEPARATOR.join(labels) or NONE


def turns(pairs: Mapping[tuple[str, str], int]) -> tuple[LabelTurns, ...]:
    """How many images got and lost each label, by how many went from one `set_text` to another."""
    gained: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for (old, new), images in pairs.items():
        before, after = set(json.loads(old)), set(json.loads(new))
        gained.update(dict.fromkeys(after - before, images))
        lost.update(dict.fromkeys(before - after, images))
    order = sorted({*gained, *lost}, key=lambda label: (-gained[label] - lost[label], label))
    return tuple(LabelTurns(label=label, gained=gained[label], lost=lost[label]) for label in order)


def sureness(rows: pa.Table) -> pa.Array:
    """float32: how sure the row's least sure decision is, of a label that it has or has not; null where a row
    is not ok. Of labels beside the best ones, which rows do not name, nothing is known: they are less
    probable than those."""
    has, best = _Said.of(rows, LABELS, "probabilities"), _Said.of(rows, "top_labels", "top_probabilities")
    codes = pa.concat_arrays([has.labels, best.labels]).dictionary_encode().indices.to_numpy()
    kinds = codes.max(initial=0) + 1
    ours, theirs = has.rows * kinds + codes[: len(has.rows)], best.rows * kinds + codes[len(has.rows) :]
    least, most = np.ones(rows.num_rows), np.zeros(rows.num_rows)
    np.minimum.at(least, has.rows, has.probabilities)
    is_other = ~np.isin(theirs, ours)
    np.maximum.at(most, best.rows[is_other], best.probabilities[is_other])
    return pa.array(np.minimum(least, 1 - most), pa.float32(), mask=pc.is_null(rows[LABELS]).to_numpy())


class _Said(NamedTuple):
    """Labels of all rows, one after the other."""

    labels: pa.StringArray
    probabilities: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    """Of each the place of its row."""

    @classmethod
    def of(cls, rows: pa.Table, labels: str, probabilities: str) -> "_Said":
        lengths = pc.fill_null(pc.list_value_length(rows[labels]), 0).to_numpy()
        return cls(
            pc.list_flatten(rows[labels]).combine_chunks(),
            pc.list_flatten(rows[probabilities]).to_numpy().astype(np.float64),
            np.repeat(np.arange(rows.num_rows), lengths),
        )
