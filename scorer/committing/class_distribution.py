"""What a run's images were taken for, and how sure the model was."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fovea.model.measured import CONFIDENCE_BINS
from scorer.files.summary import Confidence

_FINE_BINS: Final = 1000
"""What the median is read from: it is right to a thousandth, whatever the number of rows."""


@dataclass
class ClassDistribution:
    """Of the rows that have a label; added up as they come."""

    labels: Counter[str] = field(default_factory=Counter)
    abstained: int = 0
    _bins: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_FINE_BINS, np.int64))
    _sum: float = 0.0

    def add(self, rows: pa.Table) -> None:
        """`rows` have the columns label, probability and abstained."""
        for count in pc.value_counts(rows["label"].cast(pa.string()).drop_null()).to_pylist():
            self.labels[count["values"]] += count["counts"]
        self.abstained += pc.sum(rows["abstained"]).as_py() or 0
        sure = rows["probability"].drop_null().to_numpy().astype(np.float64).clip(0, 1)
        self._bins += np.histogram(sure, _FINE_BINS, (0, 1))[0]
        self._sum += float(sure.sum())

    @property
    def images(self) -> int:
        return self.labels.total()

    def confidence(self) -> Confidence:
        """How sure the model was."""
        count = int(self._bins.sum())
        middle = int(np.searchsorted(self._bins.cumsum(), count / 2))
        return Confidence(
            bins=tuple(self._bins.reshape(CONFIDENCE_BINS, -1).sum(1).tolist()),
            mean=round(self._sum / count, 4) if count else None,
            median=round((middle + 0.5) / _FINE_BINS, 4) if count else None,
        )
