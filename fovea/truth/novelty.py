"""How far an image is from those that the network was trained on."""

import bisect
import logging
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from fovea.frozen import Frozen

logger = logging.getLogger(__name__)

Stranger = Literal["noise", "inverted", "corrupted"]
"""What a release makes itself of images that are held out or tested on: noise of their size, negatives, and
half of the pixels replaced by noise."""


class MeasuredNovelty(Frozen):
    """What the threshold came to on images by which it was not chosen."""

    images: int = Field(ge=1)
    unknown: int = Field(ge=0, description="images beyond the threshold")
    interval_95: tuple[float, float] = Field(description="95 % confidence interval of the share unknown")
    auroc: dict[Stranger, float] = Field(
        description="how often a stranger that was made of these images is further away than one of them"
    )

    @property
    def share_unknown(self) -> float:
        return self.unknown / self.images


class OutOfDistribution(Frozen):
    """When an image is called unknown: its embedding lies further than the threshold from each class."""

    threshold: float = Field(
        ge=0, description="distance above which an image is unknown; see `fovea.truth.known_classes`"
    )
    share: float = Field(
        gt=0, le=1, description="of the held-out images, at the threshold or nearer: what was asked"
    )
    quantiles: tuple[float, ...] = Field(
        min_length=2, description="of the held-out images' distances, at equal steps from 0 to 1"
    )
    images_by_part: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, description="held-out images in each part that the quantiles make; not in older bundles"
    )
    auroc: dict[Stranger, float] = Field(
        description="how often a stranger that was made of held-out images is further away than one of them"
    )
    golden: tuple[float, ...] = Field(description="distances of the golden images; a variant has its own")
    measured: MeasuredNovelty | None = Field(
        None, description="on the part test; none where there is no such part, and in older bundles"
    )

    @model_validator(mode="after")
    def _counts_fit_the_quantiles(self) -> "OutOfDistribution":
        if self.images_by_part is None:
            return self
        counts, parts = self.images_by_part, len(self.quantiles) - 1
        if len(counts) != parts or not any(counts):
            raise ValueError(f"images_by_part must count images in the {parts} parts that the quantiles make")
        for part in range(1, parts):
            if counts[part] and self.quantiles[part] == self.quantiles[part + 1]:
                raise ValueError(f"images_by_part counts images in part {part}, between equal quantiles")
        return self

    def is_unknown(self, distance: float) -> bool:
        """The image is unlike all of the training's."""
        return not distance <= self.threshold  # NaN is like nothing

    def place(self, distance: float) -> int:
        """Which of the parts that the quantiles make the distance is in: ties are all in the lowest."""
        return bisect.bisect_left(self.quantiles[1:-1], distance)

    def counts(self) -> npt.NDArray[np.int64]:
        """int64 [parts]: the held-out images in each, all 0 of older bundles, which do not tell."""
        return np.array(self.images_by_part or [0] * (len(self.quantiles) - 1), np.int64)


def _drop_another_kind(described: Any) -> Any:
    """Of builds that were never released: the distance to a training image, in another unit."""
    if isinstance(described, dict) and "k" in described:
        logger.warning(
            "the model was released by an unreleased build, whose distances are not understood any more; it "
            "answers without: release it again"
        )
        return None
    return described


UnlessOfAnotherKind = Annotated[OutOfDistribution | None, BeforeValidator(_drop_another_kind)]
"""None also where the distances of a bundle are not those of `fovea.truth.known_classes`."""
