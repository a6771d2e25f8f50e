"""What a front asks of the server that it is one of."""

from dataclasses import dataclass
from typing import Any, Protocol

from server.fronts.images import FrontImages
from server.models.catalogue import Catalogue
from server.models.served_model import ServedModel
from server.net.health import Health


@dataclass(frozen=True)
class Second:
    """The version beside a model's current one."""

    generation: int
    model: ServedModel
    percent: float | None
    """See `ToldSecond`."""


class Server(Protocol):
    """What a front asks of the server."""

    models: Catalogue[ServedModel]
    generations: dict[str, int]
    """Of the models' current versions, by their names."""
    seconds: dict[str, Second]
    """Of the models that have one."""

    @property
    def generation(self) -> int:
        """The latest; 0 while there is none."""

    health: Health
    """As callers are to hear it of a front too."""

    def open_images(self, models: dict[int, ServedModel]) -> FrontImages:
        """For a front that starts."""

    def page_descriptor(self) -> int: ...

    def opened(self) -> None:
        """Now calls are answered, if they were not before."""

    def ended(self, front: int) -> None:
        """Nothing of the front of this number is in flight any more."""

    def publish(self) -> None:
        """Something was put in the queue."""

    async def asked(self, what: str, model: ServedModel | None, name: str) -> Any:
        """What a front asks for its callers, of a version or of a model by its name."""
