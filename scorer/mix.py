"""What a run's images were taken for, how sure the model was, and how far two runs are apart in that."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fovea.drift import psi, psi_by_chance

BINS: Final = 20
_FINE_BINS: Final = 1000
"""What the median is read from: it is right to a thousandth, whatever the number of rows."""

NO_CHANGE: Final = 0.1
LARGE_CHANGE: Final = 0.25


@dataclass
class Mix:
    """Of the rows that have a label; added up as they come."""

    labels: Counter[str] = field(default_factory=Counter)
    abstained: int = 0
    _bins: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_FINE_BINS, np.int64))
    _sum: float = 0.0

    def add(self, rows: pa.Table) -> None:
        """`rows` have the columns label, probability and abstained."""
        for found in pc.value_counts(rows["label"].cast(pa.string()).drop_null()).to_pylist():
            self.labels[found["values"]] += found["counts"]
        self.abstained += pc.sum(rows["abstained"]).as_py() or 0
        sure = rows["probability"].drop_null().to_numpy().astype(np.float64).clip(0, 1)
        self._bins += np.histogram(sure, _FINE_BINS, (0, 1))[0]
        self._sum += float(sure.sum())

    @property
    def images(self) -> int:
        return self.labels.total()

    def confidence(self) -> dict[str, Any]:
        """The histogram of the best labels' probabilities, in bins of equal width from 0 to 1."""
        count = int(self._bins.sum())
        middle = int(np.searchsorted(self._bins.cumsum(), count / 2))
        return {
            "bins": self._bins.reshape(BINS, -1).sum(1).tolist(),
            "mean": round(self._sum / count, 4) if count else None,
            "median": round((middle + 0.5) / _FINE_BINS, 4) if count else None,
        }


@dataclass(frozen=True)
class Drift:
    """How far apart two mixes of labels are.

    Chance is that of samples that have nothing to do with each other; of two runs over the same images it
    makes less.
    """

    psi: float
    by_chance: float
    """What the PSI of two samples of one distribution, as large as these, exceeds once in a hundred times."""

    @property
    def word(self) -> str:
        """none, some or large: the usual reading, except that what chance alone may give is none."""
        if self.psi < NO_CHANGE or self.psi <= self.by_chance:
            return "none"
        return "some" if self.psi <= LARGE_CHANGE else "large"

    def as_json(self) -> dict[str, Any]:
        return {"psi": round(self.psi, 4), "by_chance": round(self.by_chance, 4), "word": self.word}


def drift_between(
    seen: Mapping[str, int], reference: Mapping[str, int], classes: Iterable[str] = ()
) -> Drift | None:
    """None where one of them has no image, or there is only one class: then there is nothing to compare.

    `classes` are the ones that both could have, beside those that they have.
    """
    names = sorted({*seen, *reference, *classes})
    ours, theirs = (
        np.array([counts.get(name, 0) for name in names], np.int64) for counts in (seen, reference)
    )
    if len(names) < 2 or not ours.any() or not theirs.any():
        return None
    return Drift(psi(ours, theirs), psi_by_chance(int(ours.sum()), int(theirs.sum()), len(names)))
