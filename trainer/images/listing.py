"""The images of a source, with their labels and with the parts of its own split."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fovea.errors import DataInvalid
from fovea.images.passed_over import PassedOver
from fovea.printable import printable
from trainer.images.parts import TEST, VAL

MOST_NAMED: Final = 100
"""Names that audit.json has of each kind of file that was not taken."""


@dataclass(frozen=True)
class Sample:
    """One image file with the name of its class."""

    path: Path
    label: str
    name: str = ""
    """where it lies in the source, for a person to read"""
    group: str | None = None
    """what it is of, a patient, a camera: images of one group are on one side of a split; None where nothing
    says it"""
    labels: tuple[str, ...] | None = None
    """all of them where it may have several, in alphabetical order; `label` is then those in one text"""

    @property
    def named(self) -> tuple[str, ...]:
        """Its labels, one or several."""
        return (self.label,) if self.labels is None else self.labels

    def __str__(self) -> str:
        return self.name or printable(str(self.path))

    def read(self) -> bytes:
        """Raises DataInvalid when the file that was listed cannot be read now."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataInvalid(f"{self}: cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Listing:
    """All images of a source."""

    train: list[Sample] = field(default_factory=list)
    heldout: dict[str, list[Sample]] = field(default_factory=dict)
    """VAL and TEST, where there are such"""
    unassigned: list[Sample] = field(default_factory=list)
    """of a source without a split"""
    passed_over: PassedOver = field(default_factory=lambda: PassedOver(MOST_NAMED))
    """what was there and has no label, or is no image"""
    labels: tuple[str, ...] = ()
    """that a table has columns of, whether or not an image has them"""

    def all(self) -> list[Sample]:
        return [*self.train, *(s for part in self.heldout.values() for s in part), *self.unassigned]

    def part(self, *preferred: str) -> str | None:
        """The first part with images, None where nothing is held out."""
        return next((name for name in (*preferred, VAL, TEST) if self.heldout.get(name)), None)


def tables_in(passed_over: PassedOver) -> str:
    """For the end of a refusal: a CSV file that lies beside the images, and may have their labels."""
    tables = passed_over.kinds.get(".csv")
    return f"; there is {tables.names[0]}" if tables else ""
