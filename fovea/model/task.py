"""What a model answers of an image: the one label that fits it best, or each label that it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from fovea.frozen import Frozen

Task = Literal["single", "multi"]
"""single: the classes exclude each other, and a softmax over them sums to 1. multi: each label is a question
of its own, answered by a sigmoid, and an image may have several labels or none."""

Probabilities = npt.NDArray[np.float32]
Selected = npt.NDArray[np.bool_]
Thresholds = Sequence[float] | npt.NDArray[np.float32]
"""One a label."""


NEVER_SELECTED: Final = float(np.nextafter(np.float32(1), np.float32(2)))
"""Threshold of a label that is never selected: no probability reaches it, though one may round to 1."""


@dataclass(frozen=True)
class TaskTerms:
    """What the contract of a model of that task says."""

    format: Literal[1, 2]
    least_labels: int


TERMS: Final[Mapping[Task, TaskTerms]] = {
    "single": TaskTerms(format=1, least_labels=2),
    # A format of its own, so that a program that knows of no labels that are selected refuses the model.
    "multi": TaskTerms(format=2, least_labels=1),
}


class ThresholdRule(Frozen):
    """How the labels' thresholds were chosen."""

    by: Literal["f1", "precision"] = Field(
        description="f1: of the highest F1; precision: the lowest whose precision reaches the target"
    )
    target_precision: float | None = Field(None, gt=0, le=1, description="of each label, where by precision")

    @model_validator(mode="after")
    def _has_its_target(self) -> Self:
        if (self.by == "precision") != (self.target_precision is not None):
            raise ValueError("target_precision is of a rule by precision, and that needs it")
        return self


def selected(probabilities: Probabilities, thresholds: Thresholds) -> Selected:
    """Which labels a multi-label model says that images have: bool [n, labels], of probabilities [n, labels].

    One whose probability is its threshold is among them; both are compared as float32, so that a threshold
    that went over a wire selects the same labels.
    """
    return np.asarray(probabilities >= np.asarray(thresholds, np.float32))


def selected_labels(probabilities: Probabilities, thresholds: Thresholds) -> list[list[int]]:
    """The indices of each image's `selected` labels, the most probable first; ties by lower index."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    chosen = np.take_along_axis(selected(probabilities, thresholds), order, axis=1)
    return [row[has].tolist() for row, has in zip(order, chosen, strict=True)]


def check_has_no_labels_terms(*terms: object) -> None:
    """Raises ValueError where a contract of task single has what only multi-label models have."""
    if any(term is not None for term in terms):
        raise ValueError("temperatures, thresholds and threshold_rule are of task multi alone")


def check_labels_terms(
    labels: int, temperatures: Sequence[float] | None, thresholds: Sequence[float] | None
) -> None:
    """Raises ValueError unless there is a usable temperature and threshold for each label."""
    for name, values in (("temperatures", temperatures), ("thresholds", thresholds)):
        if values is None or len(values) != labels or not all(0 < value < np.inf for value in values):
            raise ValueError(f"{name} should be one for each of the {labels} labels, each above 0")
    if thresholds is not None and max(thresholds) > NEVER_SELECTED:
        raise ValueError("thresholds should be probabilities, 1 at most, or the next float32 for never")
