"""What a run's images were taken for, and how sure the model was."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fovea.model.measured import CONFIDENCE_BINS, Metrics
from fovea.truth.expected import Answers, expected_accuracy
from scorer.files.summary import Confidence, ExpectedAccuracySummary

_FINE_BINS: Final = 1000
"""What the median is read from: it is right to a thousandth, whatever the number of rows."""


@dataclass
class ClassDistribution:
    """Of the rows that have a label; added up as they come."""

    labels: Counter[str] = field(default_factory=Counter)
    abstained: int = 0
    unknown: int | None = None
    """None where the rows do not tell"""
    _bins: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_FINE_BINS, np.int64))
    _sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_FINE_BINS))
    """of the probabilities in each"""

    def add(self, rows: pa.Table) -> None:
        """`rows` have the columns label, probability and abstained, and unknown where it was asked for."""
        for count in pc.value_counts(rows["label"].cast(pa.string()).drop_null()).to_pylist():
            self.labels[count["values"]] += count["counts"]
        self.abstained += pc.sum(rows["abstained"]).as_py() or 0
        if "unknown" in rows.column_names:
            self.unknown = (self.unknown or 0) + (pc.sum(rows["unknown"]).as_py() or 0)
        sure = rows["probability"].drop_null().to_numpy().astype(np.float64).clip(0, 1)
        self._bins += np.histogram(sure, _FINE_BINS, (0, 1))[0]
        self._sums += np.histogram(sure, _FINE_BINS, (0, 1), weights=sure)[0]

    @property
    def images(self) -> int:
        return self.labels.total()

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
        not tell, or there is no image."""
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
