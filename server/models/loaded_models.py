"""Which versions of a model are loaded, as they come and go, and when one that went is closed."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from server.models.model import Model
from server.models.served_model import Choice, Loaded
from server.rollout.split import Split

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
        self.on_second: Callable[[], None] = lambda: None
        """Is told when there is a second model, or another, or none any more, or who it is for changes."""

    @property
    def name(self) -> str:
        """The model's."""
        return self.choice.name

    @property
    def current(self) -> M | None:
        return self.choice.current.model if self.choice.current else None

    @property
    def second(self) -> M | None:
        """The version beside the current one."""
        return self.choice.second.model if self.choice.second else None

    @property
    def percent(self) -> float | None:
        """Of the calls, those that the second one has; None where it has those alone that name it."""
        if self.choice.second is None or self.choice.split is None:
            return None
        # Without processes that compute it, the current one answers in its place.
        return self.choice.split.percent if self.choice.second.model.has_workers else 0.0

    def may_be_ready(self) -> None:
        """Has whoever follows `readiness` look again."""
        self._look.set()

    @property
    def queued(self) -> int:
        """Images that wait to be computed."""
        return sum(model.queued for model in (self.current, self.second) if model is not None)

    def swap(self, model: M) -> None:
        """Requests from here on go to this model. The one before is `close_replaced`'s.

        Where it is the second one, there is none from here on.
        """
        second = self.choice.second
        self._leave(self.choice.current)
        if second is not None and second.model is model:
            self.choice.current, self.choice.second = second, None
        else:
            self.choice.current = Loaded(model)
        model.on_workers_changed = self.may_be_ready
        self.may_be_ready()
        self.on_swap()
        if self.choice.second is not second:
            self.choice.split = None
            self.on_second()

    def put_second(self, model: M) -> None:
        """Requests that name its version go to it; there must be no other."""
        self.choice.second = Loaded(model)
        model.on_workers_changed = lambda: self.on_second()
        self.on_second()

    def share(self, percent: float | None) -> None:
        """So many of the others go to the second one from here on; None: none."""
        second = self.second
        if second is None or percent is None:
            self.choice.split = None
        else:
            self.choice.split = Split(second.contract.name, second.contract.version, percent)
        self.on_second()

    def drop_second(self) -> None:
        """It is `close_replaced`'s, where there is one."""
        self._leave(self.choice.second)
        self.choice.second = self.choice.split = None
        self.on_second()

    async def close_replaced(self) -> None:
        """Closes the models that were replaced, once the requests that each has are answered."""
        for loaded in list(self._leaving):
            await loaded.unused.wait()
            await loaded.model.close()
            if loaded in self._leaving:
                self._leaving.remove(loaded)

    async def close_unused(self) -> None:
        """Closes every model, once the requests that it has are answered; there come no more."""
        for loaded in (self.choice.current, self.choice.second):
            self._leave(loaded)
        await self.close_replaced()
        self.choice.current = self.choice.second = None

    async def close(self) -> None:
        """Closes every model, whatever it still has to do."""
        loaded = (*self._leaving, self.choice.current, self.choice.second)
        models = {each.model for each in loaded if each}
        await asyncio.gather(*(model.close() for model in models), return_exceptions=True)

    def _leave(self, loaded: Loaded[M] | None) -> None:
        if loaded is not None:
            self._leaving.append(loaded)
