"""What a front asks of the server that it is one of."""

from typing import Any, Protocol

from server.fronts.images import FrontImages
from server.models.served_model import LoadedModels, ServedModel


class Server(Protocol):
    """What a front asks of the server."""

    models: LoadedModels[ServedModel]
    generation: int
    """Of the current model; 0 while there is none."""

    @property
    def is_ready(self) -> bool: ...

    def open_images(self, models: dict[int, ServedModel]) -> FrontImages:
        """For a front that starts."""

    def page_descriptor(self) -> int: ...

    def opened(self) -> None:
        """Now calls are answered, if they were not before."""

    def ended(self, front: int) -> None:
        """Nothing of the front of this number is in flight any more."""

    def publish(self) -> None:
        """Something was put in the queue."""

    async def asked(self, what: str, model: ServedModel | None) -> Any:
        """What a front asks for its callers."""
