"""The models of a server, by their names: which of them a call is for, and whether all are there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Generic, TypeVar

from server.errors import FieldInvalid, ModelUnknown, NoModelReady
from server.models.folders import shown
from server.models.loaded_models import LoadedModels
from server.models.model import Key, Model, Models

M = TypeVar("M", bound=Model)

SHOWN: Final = 16
"""Names that an error lists, at most."""


class Catalogue(Generic[M]):
    """See `Models`. Lives in one event loop, in which a change is between two requests."""

    def __init__(self, default: str | None = None) -> None:
        """`default` is the model of a call that names none; unless given, the only one."""
        self._default = default
        self._models: dict[str, LoadedModels[M]] = {}
        self._look = asyncio.Event()
        self.on_swap: Callable[[str], None] = lambda name: None
        """Is told the name of a model of which another version is the current one."""
        self.on_second: Callable[[str], None] = lambda name: None
        """Is told the name of a model of which another version is beside the current one, or none."""
        self.on_addition: Callable[[str], None] = lambda name: None
        """Is told the name of a model that there was not before."""
        self.on_removal: Callable[[str], None] = lambda name: None

    @property
    def names(self) -> tuple[str, ...]:
        """See `Models`."""
        return tuple(loaded.name for loaded in self._models.values())

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of their folders."""
        return tuple(self._models)

    @property
    def live(self) -> Sequence[M]:
        """See `Models`."""
        return [loaded.current for loaded in self._models.values() if loaded.current is not None]

    @property
    def is_ready(self) -> bool:
        """A call can be answered: there is a model, and none has lost all that compute."""
        live = self.live
        return bool(live) and all(model.has_workers for model in live)

    def for_calls(self, *, several: bool) -> Models:
        """What calls choose from: where there is but one model, that needs no choice."""
        return self if several else next(iter(self._models.values())).choice

    def count(self) -> int:
        return len(self._models)

    def add(self, name: str) -> LoadedModels[M]:
        """A model of which no version is loaded yet."""
        loaded: LoadedModels[M] = LoadedModels(name, self._look)
        loaded.on_swap = lambda: self.on_swap(name)
        loaded.on_second = lambda: self.on_second(name)
        self._models[name] = loaded
        self.on_addition(name)
        return loaded

    def folder(self, name: str) -> LoadedModels[M]:
        """What is loaded of the folder of this name, added where there is nothing yet."""
        return self._models.get(name) or self.add(name)

    def remove(self, name: str) -> LoadedModels[M]:
        """No call is for it from here on; those that it has are to be awaited."""
        loaded = self._models.pop(name)
        self.on_removal(name)
        self.may_be_ready()
        return loaded

    def named(self, name: str) -> LoadedModels[M]:
        """A call's model. Raises ModelUnknown, FieldInvalid where it names none and there are several."""
        wanted = name or self._implied()
        if found := self._models.get(wanted):
            return found
        for loaded in self._models.values():
            if loaded.name == wanted:
                return loaded
        raise ModelUnknown(f"there is no model {shown(wanted)}; there are {self._known()}")

    def versions(self, name: str = "") -> tuple[int, ...]:
        """See `Models`."""
        return self.named(name).choice.versions()

    def choose(self, version: int, name: str = "") -> M:
        """See `Models`."""
        return self.named(name).choice.choose(version)

    def use(self, version: int, name: str = "", key: Key | None = None) -> AbstractContextManager[M]:
        """See `Models`."""
        return self.named(name).choice.use(version, key=key)

    def may_be_ready(self) -> None:
        """Has whoever follows `readiness` look again."""
        self._look.set()

    async def readiness(self) -> AsyncIterator[bool]:
        """Gives `is_ready` each time that it may have changed; to one reader."""
        while await self._look.wait():
            self._look.clear()
            yield self.is_ready

    async def close(self) -> None:
        """Closes every model, whatever it still has to do."""
        await asyncio.gather(*(loaded.close() for loaded in self._models.values()))

    def _implied(self) -> str:
        if self._default is not None:
            return self._default
        if len(self._models) == 1:
            return next(iter(self._models))
        if not self._models:
            raise NoModelReady("no model is ready yet")
        raise FieldInvalid("model", f"model must name one of several: {self._known()}")

    def _known(self) -> str:
        names = sorted(self.names)
        more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
        return ", ".join([*map(repr, names[:SHOWN]), *more]) or "none"
