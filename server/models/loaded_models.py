"""Which model answers: the current version; the one before it only finishes the requests that it has."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from server.errors import NoModelReady, VersionNotLoaded
from server.models.served_model import ServedModel


class LoadedModels:
    """The versions that can be asked for: none while the first one loads, then the current one.

    Lives in one event loop, in which a swap is between two requests.
    """

    def __init__(self) -> None:
        self._current: _Loaded | None = None
        self._replaced: _Loaded | None = None
        self._may_be_ready = asyncio.Event()

    @property
    def current(self) -> ServedModel | None:
        return self._current.model if self._current else None

    @property
    def is_ready(self) -> bool:
        """A call can be answered: there is a model, and it has not lost all that compute."""
        return self.current is not None and self.current.batcher.has_workers

    async def readiness(self) -> AsyncIterator[bool]:
        """Gives `is_ready` each time that it may have changed; to one reader."""
        while await self._may_be_ready.wait():
            self._may_be_ready.clear()
            yield self.is_ready

    @property
    def queued(self) -> int:
        """Images that wait to be computed by the current model."""
        return self._current.model.batcher.queued if self._current else 0

    def choose(self, version: int) -> ServedModel:
        """A version's model, to be described; 0 is the current one. Raises NoModelReady, VersionNotLoaded."""
        return self._find(version).model

    @contextmanager
    def use(self, version: int) -> Iterator[ServedModel]:
        """A version's model to answer a request with: it is not closed before the block is left.

        Raises what `choose` does.
        """
        with self._find(version).use() as model:
            yield model

    def swap(self, model: ServedModel) -> None:
        """Requests from here on go to this model. The one before is `close_replaced`'s."""
        self._current, self._replaced = _Loaded(model), self._current
        model.batcher.on_workers_changed = self._may_be_ready.set
        self._may_be_ready.set()

    async def close_replaced(self) -> None:
        """Closes the model before the current one, once the requests that it has are answered."""
        if self._replaced:
            await self._replaced.unused.wait()
            await self._replaced.model.close()
            self._replaced = None

    async def close(self) -> None:
        """Closes every model, whatever it still has to do."""
        models = [loaded.model for loaded in (self._replaced, self._current) if loaded]
        await asyncio.gather(*(model.close() for model in models), return_exceptions=True)

    def _find(self, version: int) -> "_Loaded":
        if self._current is None:
            raise NoModelReady("no model is ready yet")
        loaded = self._current.model.contract.version
        # Not the replaced one either: whether it has finished yet is chance, and it would never finish if
        # callers went on asking for it.
        if version not in (0, loaded):
            raise VersionNotLoaded(f"version {version} is not loaded (loaded: {loaded})")
        return self._current


class _Loaded:
    """A model and the number of requests that use it."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model
        self.unused = asyncio.Event()
        self.unused.set()
        self._uses = 0

    @contextmanager
    def use(self) -> Iterator[ServedModel]:
        self._uses += 1
        self.unused.clear()
        try:
            yield self.model
        finally:
            self._uses -= 1
            if not self._uses:
                self.unused.set()
