"""A part of a split, as it was decoded."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np

from fovea.images.spec import PreprocessSpec
from trainer.images.audit import BadFile, UsableFile
from trainer.images.batches import Images
from trainer.images.label_split import targets_of
from trainer.images.pixels import Decoded
from trainer.images.sources import Sample


@dataclass(frozen=True)
class Part:
    """The images of a part as they were decoded."""

    samples: tuple[Sample, ...]
    decoded: Decoded
    spec: PreprocessSpec

    def rows(self) -> list[int]:
        """Of those that can be used."""
        return [row for row, outcome in enumerate(self.decoded.outcomes) if outcome.error is None]

    def usable(self, left_out: Container[str], blurred: Container[str]) -> Iterator[UsableFile]:
        """Those are digests: of what is left out as a copy, of what is blurred."""
        for row in self.rows():
            digest, traits = self.decoded.digests[row], self.decoded.outcomes[row].traits
            if digest in blurred:
                traits = (*traits, "blurred")
            yield UsableFile(self.samples[row], digest, traits, digest in left_out)

    def bad(self) -> Iterator[BadFile]:
        for sample, outcome in zip(self.samples, self.decoded.outcomes, strict=True):
            if outcome.error is not None:
                yield BadFile(str(sample), outcome.error)

    def images(self, rows: list[int], labels: tuple[str, ...]) -> Images:
        samples = tuple(self.samples[row] for row in rows)
        return Images(self.decoded.cache, np.array(rows, np.int64), targets_of(samples, labels), samples)
