"""Which rows of a run are asked again."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fovea.model.classifier import CPU
from scorer.committing.sample import Sample, SampledRow
from scorer.files.committed import CommittedPart


def sampled(numbers: Sequence[int], part_rows: int, size: int, provider: str = CPU) -> list[SampledRow]:
    """Of rows that are given in parts; every third is not ok, and every fifth was carried."""
    sample = Sample("night-1", size)
    for start in range(0, len(numbers), part_rows):
        some = numbers[start : start + part_rows]
        labels = [None if n % 3 == 0 else "cat" for n in some]
        columns = {
            "etag": [str(n) for n in some],
            "label": labels,
            "top_labels": pa.array([[label] if label else None for label in labels], pa.list_(pa.string())),
            "top_probabilities": [[0.5] if label else None for label in labels],
            "run": ["night-0" if n % 5 == 0 else "night-1" for n in some],
            "status": ["ok" if label else "gone" for label in labels],
        }
        keys = pa.array([f"{n:04}".encode() for n in some], pa.binary())
        sample.add(CommittedPart(pa.table(columns), keys, provider))
    return sample.rows()


def test_a_sample_is_the_same_however_the_rows_are_split() -> None:
    numbers = range(150)
    for size in (1, 7, 40, 99, 100, 120):
        whole = sampled(numbers, 150, size)
        assert len(whole) == min(size, 100)
        assert [row.key for row in whole] == sorted({row.key for row in whole})
        for part_rows in (3, 13, 50, 149):
            assert sampled(numbers, part_rows, size) == whole, (size, part_rows)
    for row in whole:
        number = int(row.key)
        assert (row.etag, row.label, row.probabilities) == (str(number), "cat", {"cat": 0.5})
        assert row.provider == ("" if number % 5 == 0 else CPU)


def test_each_row_is_as_likely_as_any_to_be_sampled() -> None:
    places = np.array([int(row.key) for row in sampled([n for n in range(3000) if n % 3], 250, 500)])
    counts, _ = np.histogram(places, 5, (0, 3000))
    assert counts.min() > 70
    assert counts.max() < 130
