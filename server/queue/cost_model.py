"""How long a batch takes: seconds = a * images + b, fitted to the batches that were seen."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Final

MEMORY_S: Final = 3.0
"""A batch counts less by a factor of e after this long."""

MANY: Final = 1024


class CostModel:
    """A running fit that forgets: what a batch takes depends on what else the machine does.

    What the warm-up saw is never forgotten, only outweighed while there are newer batches. So one hiccup
    cannot make the server refuse for ever all that has a deadline: with nothing computed the old estimate
    returns.
    """

    def __init__(
        self,
        warm_up: Iterable[tuple[int, float]] = (),
        least_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`warm_up`: (images, seconds) of batches; `least_s`: the seconds of a lone image at its fastest."""
        self.least_s = least_s
        self._clock = clock
        self._warm_up = _Sums()
        for images, seconds in warm_up:
            self._warm_up.add(images, seconds)
        self._recent = _Sums()
        self._at = clock()
        self._line = self._warm_up.line()

    def observe(self, images: int, seconds: float) -> None:
        """A batch that was just computed."""
        self._forget()
        self._recent.add(images, seconds)
        self._line = self._warm_up.line(self._recent)

    def predict_s(self, images: int) -> float:
        """Of a batch with so many images; 0 while nothing was seen."""
        if self._clock() - self._at > 1:  # the fit is renewed by each batch, or else once a second
            self._forget()
            self._line = self._warm_up.line(self._recent)
        slope, intercept = self._line
        return slope * images + intercept

    def images_within(self, seconds: float) -> int:
        """How many images a batch of that many seconds has, from 1 to MANY."""
        slope, intercept = self._line
        return max(1, int(min((seconds - intercept) / slope, MANY))) if slope else MANY

    def _forget(self) -> None:
        now = self._clock()
        self._recent.scale(math.exp((self._at - now) / MEMORY_S))
        self._at = now


class _Sums:
    """What least squares needs of points (images, seconds), each with a weight."""

    def __init__(self) -> None:
        self.weight = self.images = self.images_squared = self.seconds = self.product = 0.0

    def add(self, images: int, seconds: float) -> None:
        self.weight += 1
        self.images += images
        self.images_squared += images * images
        self.seconds += seconds
        self.product += images * seconds

    def scale(self, factor: float) -> None:
        self.weight *= factor
        self.images *= factor
        self.images_squared *= factor
        self.seconds *= factor
        self.product *= factor

    def line(self, other: "_Sums | None" = None) -> tuple[float, float]:
        """Slope and intercept of the best line through these points and the other's, neither below 0."""
        both = _Sums()
        for sums in (self, other) if other else (self,):
            both.weight += sums.weight
            both.images += sums.images
            both.images_squared += sums.images_squared
            both.seconds += sums.seconds
            both.product += sums.product
        return _line(both) if both.weight > 1e-9 else (0.0, 0.0)


def _line(sums: _Sums) -> tuple[float, float]:
    spread = sums.weight * sums.images_squared - sums.images**2
    if spread <= 1e-9 * sums.weight * sums.images_squared:  # all of one size: taken as proportional
        return sums.seconds / sums.images, 0.0
    slope = (sums.weight * sums.product - sums.images * sums.seconds) / spread
    intercept = (sums.seconds - slope * sums.images) / sums.weight
    if slope < 0:
        return 0.0, sums.seconds / sums.weight
    if intercept < 0:
        return sums.product / sums.images_squared, 0.0
    return slope, intercept
