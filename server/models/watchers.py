"""Every model of a server: those that were named, or those that come and go in a folder of models."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from fovea.errors import BundleInvalid, FoveaError, SettingsInvalid
from fovea.model import versions
from fovea.stores.storage import open_folder
from server.background import in_background
from server.compute.engine import shared_engine
from server.config import ServeSettings
from server.errors import ModelUnknown
from server.models.captures import Captures
from server.models.catalogue import Catalogue
from server.models.folders import name_of
from server.models.loaded_models import LoadedModels
from server.models.served_model import ServedModel
from server.models.watcher import Among, Watcher
from server.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class Watchers:
    """See `Versions`. Lives in the event loop that serves; what takes long is done in threads."""

    def __init__(
        self,
        settings: ServeSettings,
        models: Catalogue[ServedModel],
        metrics: Metrics,
        captures: Captures | None = None,
    ) -> None:
        """Raises SettingsInvalid."""
        self._settings = settings
        self._models = models
        self._metrics = metrics
        self._captures = captures
        self._shared = shared_engine(settings) if settings.has_several else None
        self._turn = asyncio.Lock()
        self._watchers: dict[str, Watcher] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._removing: set[asyncio.Task[None]] = set()
        self._root = open_folder(settings.model_root) if settings.model_root is not None else None
        self._has_failed = False
        self._wake = asyncio.Event()
        for folder in settings.models:
            self._add(name_of(folder), folder)
        self._check_default()

    async def load_first(self, announce_waiting: Callable[[], None]) -> None:
        """Returns when there is a current version of each model that was named, or of one below the root.

        With --wait-for-model, however long that takes. Raises what `Watcher.load_first` does.
        """
        if self._root is None:
            loads = [watcher.load_first(announce_waiting) for watcher in self._watchers.values()]
            await _all_or_the_first_error(loads)
            return
        await self._look_below_root(at_once=True)
        if self._models.live:
            return
        if not self._settings.wait_for_model:
            none = "none of the models below it can be served; the log says why"
            no_model = "there is no model below it: a folder for each, with its versions 1, 2, ... in it"
            raise BundleInvalid(f"{self._root.uri}: {none if self._watchers else no_model}")
        announce_waiting()
        self._follow_all()
        while not self._models.live:
            await self._next_look()
            await self._look_below_root()

    async def follow(self) -> None:
        """Serves each newer version, and each newer model below the root, from when it is there."""
        self._follow_all()
        while self._root is not None:
            await self._next_look()
            await self._look_below_root()
        await asyncio.gather(*self._following.values())

    def look_now(self) -> None:
        """Has everything looked at again at once, refused versions too."""
        self._wake.set()
        for watcher in self._watchers.values():
            watcher.look_now()

    async def refused_now(self, name: str) -> dict[int, str]:
        """See `Versions`."""
        return self._named(name).refused()

    async def look_on_demand(self, name: str) -> None:
        """See `Versions`."""
        await self._named(name).look_on_demand()

    async def end_shadow(self) -> None:
        """Nothing is answered a second time from here on; what was to be is offered to captures by then."""
        for watcher in self._watchers.values():
            await watcher.end_shadow()

    async def stop(self) -> None:
        """Nothing is looked at any more; what is being loaded is given up."""
        tasks = [*self._following.values(), *self._removing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Ends what computes for several models, once they are closed, and the shadow."""
        await asyncio.gather(*(watcher.close() for watcher in self._watchers.values()))
        if self._shared is not None:
            await self._shared.pool.close()

    def _named(self, name: str) -> Watcher:
        if found := self._watchers.get(name):
            return found
        if len(self._watchers) == 1 and self._shared is None:  # whose folder was given another name
            return next(iter(self._watchers.values()))
        raise ModelUnknown(f"there is no model {name!r}")

    def _add(self, name: str, folder: str) -> Watcher:
        if name in self._watchers:
            raise SettingsInvalid(
                f"--models: two models have the name {name!r}, which is that of their folders"
            )
        among = Among(name, self._shared, self._turn) if self._shared is not None else None
        metrics = self._metrics.of_model(name)
        loaded = self._models.add(name)
        metrics.queued_images.set_function(lambda: loaded.queued)
        metrics.ready.set_function(lambda: _is_ready(loaded))
        watcher = self._watchers[name] = Watcher(
            folder, self._settings, loaded, metrics, among, self._captures
        )
        return watcher

    def _check_default(self) -> None:
        default = self._settings.default_model
        if self._root is None and default is not None and default not in self._watchers:
            known = ", ".join(sorted(self._watchers))
            raise SettingsInvalid(f"--default-model: there is no model {default!r} among --models: {known}")

    def _follow_all(self) -> None:
        for name in self._watchers:
            self._follow(name)

    def _follow(self, name: str) -> None:
        if name not in self._following:
            self._following[name] = asyncio.create_task(self._watchers[name].follow())

    async def _next_look(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.watch_interval_s or None):
                await self._wake.wait()
        self._wake.clear()

    async def _look_below_root(self, *, at_once: bool = False) -> None:
        """Models that came are added, those that went are removed. `at_once` raises what hinders a look."""
        try:
            found = await in_background(self._models_below_root)
            if self._watchers and not found:
                raise BundleInvalid("there were models, and now there is none; was the folder unmounted?")
        except Exception as error:
            if at_once:
                raise
            if not self._has_failed:  # said once, until a look succeeds
                unforeseen = None if isinstance(error, FoveaError) else error
                logger.warning("cannot look for models", extra={"reason": str(error)}, exc_info=unforeseen)
            self._has_failed = True
            return
        self._has_failed = False
        for name in sorted(set(self._watchers) - set(found)):
            self._remove(name)
        for name in sorted(set(found) - set(self._watchers)):
            await self._add_found(name, found[name], at_once=at_once)

    def _models_below_root(self) -> dict[str, str]:
        """Their folders by name: those that have a version, be it whole or not."""
        assert self._root is not None  # noqa: S101 - it is looked at
        folders = {name: self._root.folder(name) for name in self._root.children()}
        return {name: folder.uri for name, folder in folders.items() if versions.listed(folder)}

    async def _add_found(self, name: str, folder: str, *, at_once: bool) -> None:
        watcher = self._add(name, folder)
        await watcher.look()
        if at_once:
            return
        if self._models.named(name).current is not None:
            logger.info("new model is live", extra={"model": name})
        self._follow(name)

    def _remove(self, name: str) -> None:
        logger.info("the model's folder is gone: it is served no more", extra={"model": name})
        watcher = self._watchers.pop(name)
        if following := self._following.pop(name, None):
            following.cancel()
        removing = asyncio.create_task(
            self._close_removed(name, watcher, self._models.remove(name), following)
        )
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)

    async def _close_removed(
        self,
        name: str,
        watcher: Watcher,
        loaded: LoadedModels[ServedModel],
        following: "asyncio.Task[None] | None",
    ) -> None:
        if following is not None:
            await asyncio.gather(following, return_exceptions=True)
        await watcher.close()
        await loaded.close_unused()
        if name not in self._watchers:  # it may be back
            self._metrics.forget_model(name)
        logger.info("the removed model is closed", extra={"model": name})


def _is_ready(loaded: LoadedModels[ServedModel]) -> bool:
    return loaded.current is not None and loaded.current.has_workers


async def _all_or_the_first_error(works: list[Coroutine[Any, Any, None]]) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
