"""What a run's images were taken for, and how sure the model was."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fovea.model.distance import Selections
from fovea.model.measured import CONFIDENCE_BINS, Metrics
from fovea.model.task import Task
from fovea.truth.expected import Answers, expected_accuracy
from scorer.committing.multi_label import LABELS, is_multi_label, label_counts
from scorer.files.summary import Confidence, ExpectedAccuracySummary, Labelled

_FINE_BINS: Final = 1000
"""What the median is read from: it is right to a thousandth, whatever the number of rows."""


@dataclass
class ClassDistribution:
    """Of the rows that have a label; added up as they come."""

    labels: Counter[str] = field(default_factory=Counter)
    abstained: int = 0
    unknown: int | None = None
    """None where the rows do not tell"""
    labelled: int | None = None
    """Images of a multi-label model, whose labels may be several or none; None of another"""
    none: int = 0
    """of them, those without a label"""
    _bins: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_FINE_BINS, np.int64))
    _sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_FINE_BINS))
    """of the probabilities in each"""

    def add(self, rows: pa.Table) -> None:
        """`rows` have the columns label, probability and abstained, and unknown where it was asked for; those
        of a multi-label model labels and probabilities."""
        if is_multi_label(rows.column_names):
            self._add_labels(rows)
            return
        for count in pc.value_counts(rows["label"].cast(pa.string()).drop_null()).to_pylist():
            self.labels[count["values"]] += count["counts"]
        self.abstained += pc.sum(rows["abstained"]).as_py() or 0
        if "unknown" in rows.column_names:
            self.unknown = (self.unknown or 0) + (pc.sum(rows["unknown"]).as_py() or 0)
        self._add_probabilities(rows["probability"].drop_null())

    def _add_labels(self, rows: pa.Table) -> None:
        self.labels.update(label_counts(rows))
        sizes = pc.list_value_length(rows[LABELS]).drop_null()
        self.labelled = (self.labelled or 0) + len(sizes)
        self.none += pc.sum(pc.equal(sizes, 0)).as_py() or 0
        self._add_probabilities(pc.list_flatten(rows["probabilities"]))

    def _add_probabilities(self, probabilities: pa.ChunkedArray) -> None:
        sure = probabilities.to_numpy().astype(np.float64).clip(0, 1)
        self._bins += np.histogram(sure, _FINE_BINS, (0, 1))[0]
        self._sums += np.histogram(sure, _FINE_BINS, (0, 1), weights=sure)[0]

    @property
    def images(self) -> int:
        return self.labels.total() if self.labelled is None else self.labelled

    def selections(self, labels: Sequence[str]) -> Selections:
        """Of a multi-label model: how many images have each of these."""
        counts = np.array([self.labels[label] for label in labels], np.int64)
        return Selections(counts, self.images)

    def labelled_summary(self, task: Task) -> Labelled | None:
        return Labelled(images=self.labelled or 0, none=self.none) if task == "multi" else None

    def confidence(self) -> Confidence:
        """How sure the model was."""
        count = int(self._bins.sum())
        middle = int(np.searchsorted(self._bins.cumsum(), count / 2))
        return Confidence(
            bins=_coarse(self._bins),
            mean=round(float(self._sums.sum()) / count, 4) if count else None,
            median=round((middle + 0.5) / _FINE_BINS, 4) if count else None,
        )

    def expected_accuracy(self, released: Metrics) -> ExpectedAccuracySummary | None:
        """By how often the model's answers were right where it was released; None where an older bundle does
        not tell, of a multi-label model, or where there is no image."""
        if released.confidences is None or released.right_by_confidence is None:
            return None
        answers = Answers(_coarse(self._bins), _coarse(self._sums))
        expected = expected_accuracy(answers, released.confidences, released.right_by_confidence)
        if expected is None:
            return None
        low, high = (round(end, 4) for end in expected.interval_95)
        return ExpectedAccuracySummary(
            images=self.images, accuracy=round(expected.accuracy, 4), interval_95=(low, high)
        )


def _coarse(fine: npt.NDArray[Any]) -> tuple[Any, ...]:
    return tuple(fine.reshape(CONFIDENCE_BINS, -1).sum(1).tolist())
