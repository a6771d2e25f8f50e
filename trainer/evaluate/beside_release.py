"""A model on other images, beside what its bundle says of those that it was released on."""

import math
from dataclasses import dataclass

from fovea.model.measured import Metrics
from trainer.evaluate.metrics import accuracy_interval


@dataclass(frozen=True)
class Change:
    """Of a share of the images: at the release, here, and how far chance alone may have moved it."""

    released: float
    found: float
    interval: tuple[float, float]
    """95 % confidence interval of found - released"""

    @property
    def is_beyond_chance(self) -> bool:
        low, high = self.interval
        return low > 0 or high < 0


@dataclass(frozen=True)
class BesideRelease:
    """None where one of the two was measured on no image."""

    accuracy: Change | None
    abstained: Change | None
    """None also of a bundle that was released before this was counted"""

    def words(self, *, of_labels: bool = False) -> list[str]:
        """A line each; `of_labels` of a multi-label model, whose accuracy is of whole sets."""
        lines = []
        if self.accuracy:
            lines += _accuracy_in_words(
                self.accuracy, "gives exactly the labels" if of_labels else "is right"
            )
        if self.abstained and self.abstained.is_beyond_chance:
            lines.append(_abstained_in_words(self.abstained))
        return lines


def beside_release(here: Metrics, released: Metrics) -> BesideRelease:
    """Both of the same model, at the same precision and abstain threshold."""
    if not here.images or not released.images:
        return BesideRelease(None, None)
    abstained = None
    if here.abstained is not None and released.abstained is not None:
        abstained = change(here.abstained, here.images, released.abstained, released.images)
    return BesideRelease(change(here.right, here.images, released.right, released.images), abstained)


def change(count: int, images: int, released: int, released_images: int) -> Change:
    """The difference of two shares with its 95 % interval, by the intervals of either.

    Newcombe's hybrid score interval (method 10 of Newcombe 1998, Statistics in Medicine 17:873-890).
    """
    here, there = count / images, released / released_images
    (low, high), (low_there, high_there) = (
        accuracy_interval(count, images),
        accuracy_interval(released, released_images),
    )
    below = math.hypot(here - low, high_there - there)
    above = math.hypot(high - here, there - low_there)
    return Change(there, here, (here - there - below, here - there + above))


def _accuracy_in_words(accuracy: Change, does: str) -> list[str]:
    """`does` is what the accuracy counts."""
    if not accuracy.is_beyond_chance:
        if does == "is right":
            return ["It is no further from its accuracy at the release than chance may give."]
        return [f"How often it {does} is no further from its release than chance may give."]
    if accuracy.found > accuracy.released:
        return [f"It {does} more often than at its release, further than chance gives: {_points(accuracy)}."]
    return [
        f"It {does} less often than at its release, further than chance gives: {_points(accuracy)}.",
        "These images are of another kind than those it was trained on, or are labelled otherwise: look at "
        "the worst, and train on some.",
    ]


def _abstained_in_words(abstained: Change) -> str:
    return (
        f"It abstains on {abstained.found:.1%} of these images, at its release on {abstained.released:.1%}, "
        "further than chance gives."
    )


def _points(moved: Change) -> str:
    low, high = sorted(abs(100 * end) for end in moved.interval)
    points = abs(100 * (moved.found - moved.released))
    return f"{points:.1f} points (95 % confidence interval {low:.1f} to {high:.1f})"
