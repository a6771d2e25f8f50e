"""Images chosen at random from a listing of any length."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from scorer.files.manifest import PlannedImage


@dataclass
class Reservoir:
    """Counts all images that are to be scored, and chooses `size` of them, each with the same chance.

    The choice is the same for the same images.
    Algorithm R of Vitter, Random Sampling with a Reservoir (1985).
    """

    size: int
    images: int = 0
    size_bytes: int = 0
    carried: int = 0
    """Images besides, whose rows are copied from an earlier run."""
    _chosen: list[PlannedImage] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, images: Iterable[PlannedImage]) -> None:
        for image in images:
            if image.carried:
                self.carried += 1
            else:
                self._add(image)

    def images_at_random(self) -> list[PlannedImage]:
        """The chosen ones, in an order that says nothing."""
        return self._random.sample(self._chosen, len(self._chosen))

    def _add(self, image: PlannedImage) -> None:
        self.images += 1
        self.size_bytes += image.entry.size
        if len(self._chosen) < self.size:
            self._chosen.append(image)
        elif (place := self._random.randrange(self.images)) < self.size:
            self._chosen[place] = image
