"""What was measured of a model on held-out images, and what was made of it: parts of a bundle's contract."""

from typing import Final, Literal

from pydantic import Field

from fovea.frozen import Frozen

CONFIDENCE_BINS: Final = 20
"""Bins of equal width, from 0 to 1, in which probabilities are counted."""


class ClassMetrics(Frozen):
    """How one class did on the held-out images."""

    images: int
    precision: float
    recall: float


class Metrics(Frozen):
    """Measured at the release gate, on the ONNX model, through `fovea.images`."""

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


Word = Literal["Fit to ship", "Fit to ship, with care", "Not fit to ship"]


class Opinion(Frozen):
    """Whether to ship, as it was judged at the release: see the training report."""

    word: Word
    against: tuple[str, ...] = Field((), description="what speaks against it, in sentences")
