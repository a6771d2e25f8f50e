"""How a picture was mirrored and turned, as EXIF can say it: the eight symmetries of a square."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

_TURNS: Final = ("", "turned to the right", "turned by 180°", "turned to the left")


@dataclass(frozen=True, order=True)
class Orientation:
    """Mirrored left to right, or not; then turned clockwise by so many quarters, 0 to 3."""

    mirrored: bool = False
    quarters: int = 0

    def then(self, other: "Orientation") -> "Orientation":
        """What both come to, one after the other."""
        own = -self.quarters if other.mirrored else self.quarters
        return Orientation(self.mirrored != other.mirrored, (own + other.quarters) % 4)

    @property
    def inverse(self) -> "Orientation":
        return self if self.mirrored else Orientation(False, -self.quarters % 4)

    def of(self, pictures: Tensor) -> Tensor:
        """[..., S, S], mirrored and turned."""
        return torch.rot90(pictures.flip(-1) if self.mirrored else pictures, -self.quarters, (-2, -1))

    def __str__(self) -> str:
        """Nothing of a picture as it was."""
        said = ("mirrored" if self.mirrored else "", _TURNS[self.quarters])
        return " and ".join(filter(None, said))


UPRIGHT: Final = Orientation()
MIRRORED: Final = Orientation(mirrored=True)


def orientations(mirrored: bool) -> tuple[Orientation, ...]:
    """All, the mirrored ones where these are asked for; those that are not turned first."""
    sides = (False, True) if mirrored else (False,)
    return tuple(Orientation(side, quarters) for quarters in range(4) for side in sides)
