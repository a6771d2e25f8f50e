"""What was measured of a model on held-out images, and what was made of it: parts of a bundle's contract."""

from typing import Final, Literal

from pydantic import Field

from fovea.frozen import Frozen
from fovea.model.task import NEVER_SELECTED

CONFIDENCE_BINS: Final = 20
"""Bins of equal width, from 0 to 1, in which probabilities are counted."""


class ClassMetrics(Frozen):
    """How one class did on the held-out images."""

    images: int
    precision: float
    recall: float


class Metrics(Frozen):
    """Measured at the release gate, on the ONNX model, through `fovea.images`.

    Of a multi-label model accuracy is the share of images of which exactly their labels were selected, loss
    the mean binary cross-entropy and ece of all decisions, an image and a label each; the counts by
    confidence are none.
    """

    images: int
    accuracy: float
    loss: float = Field(description="mean negative log likelihood, in nats")
    ece: float = Field(description="expected calibration error over 15 bins, in [0, 1]")
    per_class: dict[str, ClassMetrics]
    confidences: tuple[int, ...] | None = Field(
        None,
        min_length=CONFIDENCE_BINS,
        max_length=CONFIDENCE_BINS,
        description="images by the probability of what was predicted, in 20 bins from 0 to 1; not in older "
        "bundles",
    )
    abstained: int | None = Field(
        None, description="images below the abstain threshold; not in older bundles"
    )
    right_by_confidence: tuple[int, ...] | None = Field(
        None,
        min_length=CONFIDENCE_BINS,
        max_length=CONFIDENCE_BINS,
        description="of `confidences`, images whose class was named: how often which probability is right; "
        "not in older bundles",
    )

    @property
    def right(self) -> int:
        """Images whose class was named."""
        return round(self.accuracy * self.images)

    @property
    def macro_recall(self) -> float:
        """The mean recall of the classes that images were held out of, each counting as much; 0 of none."""
        recalls = [row.recall for row in self.per_class.values() if row.images]
        return sum(recalls) / len(recalls) if recalls else 0.0

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class, and the accuracy of a model that always names it."""
        label, row = max(self.per_class.items(), key=lambda entry: entry[1].images)
        return label, row.images / self.images if self.images else 0.0


class LabelScore(Frozen):
    """How one label of a multi-label model did at its threshold."""

    images: int = Field(ge=0, description="that have the label")
    selected: int = Field(ge=0, description="for which it was selected")
    right: int = Field(ge=0, description="for which it was selected, and which have it")
    average_precision: float | None = Field(
        None, description="over all thresholds; none where no image has the label"
    )
    precision: float = Field(description="right of those selected; 0 where none was")
    precision_interval: tuple[float, float] | None = Field(
        None, description="95 % (Wilson); none where none was selected"
    )
    recall: float = Field(description="right of those that have it; 0 where none has")
    recall_interval: tuple[float, float] | None = Field(
        None, description="95 % (Wilson); none where no image has the label"
    )
    threshold: float = Field(gt=0, le=NEVER_SELECTED, description="above 1 where the label is never selected")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is right."""
        both = self.images + self.selected
        return 2 * self.right / both if both else 0.0


class LabelMetrics(Frozen):
    """What `Metrics` says too little of where an image may have several labels."""

    map: float = Field(description="mean average precision, of the labels that some image has")
    micro_f1: float = Field(description="of all decisions, an image and a label each")
    macro_f1: float = Field(description="mean of the labels' that some image has")
    per_label: dict[str, LabelScore]


Word = Literal["Fit to ship", "Fit to ship, with care", "Not fit to ship"]


class Opinion(Frozen):
    """Whether to ship, as it was judged at the release: see the training report."""

    word: Word
    against: tuple[str, ...] = Field((), description="what speaks against it, in sentences")
