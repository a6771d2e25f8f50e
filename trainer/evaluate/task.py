"""What differs with the task wherever answers are compared with the truth, or with other answers: once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from fovea.model.bundle import BundleContract
from fovea.model.measured import LabelMetrics, Metrics
from fovea.model.task import Task, selected
from trainer.evaluate.label_metrics import measure_labels
from trainer.evaluate.metrics import Logits, Targets, measure
from trainer.images.label_split import marks_of
from trainer.images.sources import Sample

Answers = npt.NDArray[np.int64] | npt.NDArray[np.bool_]
"""What a program makes of probabilities: the class [n], or which labels are selected [n, labels]."""


@dataclass(frozen=True)
class Measured:
    """What a contract says of images."""

    metrics: Metrics
    label_metrics: LabelMetrics | None = None
    """of several labels an image"""

    @property
    def worth(self) -> float:
        """By which precisions are compared, and --min-accuracy: the accuracy, or mean average precision."""
        return self.metrics.accuracy if self.label_metrics is None else self.label_metrics.map

    @property
    def f1(self) -> float | None:
        """Of all decisions at the thresholds, which `worth` does not see; None of one label an image."""
        return self.label_metrics.micro_f1 if self.label_metrics is not None else None


class TaskStrategy(Protocol):
    """Of probabilities float32 [n, classes], by what the model's contract says."""

    compared: str
    """what `answers` are called, where they agree"""
    worth: str
    """what `Measured.worth` is called"""

    def answers(self, probabilities: Logits, contract: BundleContract) -> Answers: ...

    def right(
        self,
        probabilities: Logits,
        samples: Sequence[Sample],
        labels: tuple[str, ...],
        contract: BundleContract,
    ) -> npt.NDArray[np.bool_]:
        """[n]: whose answer, under these labels' names, is the truth as the samples have it."""

    def measure(self, probabilities: Logits, targets: Targets, contract: BundleContract) -> Measured: ...


class SingleLabel:
    compared = "top-1 agrees"
    worth = "accuracy"

    def answers(self, probabilities: Logits, contract: BundleContract) -> Answers:
        return np.asarray(probabilities.argmax(1))

    def right(
        self,
        probabilities: Logits,
        samples: Sequence[Sample],
        labels: tuple[str, ...],
        contract: BundleContract,
    ) -> npt.NDArray[np.bool_]:
        truth = [sample.label for sample in samples]
        return np.asarray(np.array(labels)[probabilities.argmax(1)] == truth)

    def measure(self, probabilities: Logits, targets: Targets, contract: BundleContract) -> Measured:
        return Measured(measure(probabilities, targets, contract.labels, contract.abstain_threshold))


class MultiLabel:
    compared = "selected labels agree"
    worth = "mean average precision"

    def answers(self, probabilities: Logits, contract: BundleContract) -> Answers:
        return selected(probabilities, contract.thresholds or ())

    def right(
        self,
        probabilities: Logits,
        samples: Sequence[Sample],
        labels: tuple[str, ...],
        contract: BundleContract,
    ) -> npt.NDArray[np.bool_]:
        return np.asarray((self.answers(probabilities, contract) == marks_of(samples, labels)).all(1))

    def measure(self, probabilities: Logits, targets: Targets, contract: BundleContract) -> Measured:
        return Measured(*measure_labels(probabilities, targets, contract.labels, contract.thresholds or ()))


STRATEGIES: Final[Mapping[Task, TaskStrategy]] = {"single": SingleLabel(), "multi": MultiLabel()}
