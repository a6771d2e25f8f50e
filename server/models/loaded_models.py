"""Which versions of a model are loaded, as they come and go, and when one that went is closed."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from server.models.model import Model
from server.models.served_model import Choice, Loaded

M = TypeVar("M", bound=Model)


class LoadedModels(Generic[M]):
    """The versions of one model. Lives in the event loop of their `choice`."""

    def __init__(self, name: str = "", look: asyncio.Event | None = None) -> None:
        """`name` is that of their folder; `look` is set when they may be ready now, or not any more."""
        self.choice: Choice[M] = Choice(name)
        """What calls choose from."""
        self._leaving: list[Loaded[M]] = []
        """No new request goes to them."""
        self._look = look or asyncio.Event()
        self.on_swap: Callable[[], None] = lambda: None
        """Is told when another model is the current one, before any request goes to it."""

    @property
    def name(self) -> str:
        """The model's."""
        return self.choice.name

    @property
    def current(self) -> M | None:
        return self.choice.current.model if self.choice.current else None

    def may_be_ready(self) -> None:
        """Has whoever follows `readiness` look again."""
        self._look.set()

    @property
    def queued(self) -> int:
        """Images that wait to be computed by the current model."""
        return self.current.queued if self.current else 0

    def swap(self, model: M) -> None:
        """Requests from here on go to this model. The one before is `close_replaced`'s."""
        self._leave(self.choice.current)
        self.choice.current = Loaded(model)
        model.on_workers_changed = self.may_be_ready
        self.may_be_ready()
        self.on_swap()

    async def close_replaced(self) -> None:
        """Closes the models that were replaced, once the requests that each has are answered."""
        for loaded in list(self._leaving):
            await loaded.unused.wait()
            await loaded.model.close()
            if loaded in self._leaving:
                self._leaving.remove(loaded)

    async def close_unused(self) -> None:
        """Closes every model, once the requests that it has are answered; there come no more."""
        self._leave(self.choice.current)
        await self.close_replaced()
        self.choice.current = None

    async def close(self) -> None:
        """Closes every model, whatever it still has to do."""
        models = {loaded.model for loaded in (*self._leaving, self.choice.current) if loaded}
        await asyncio.gather(*(model.close() for model in models), return_exceptions=True)

    def _leave(self, loaded: Loaded[M] | None) -> None:
        if loaded is not None:
            self._leaving.append(loaded)
