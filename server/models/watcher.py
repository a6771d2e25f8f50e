"""How a version goes live: found, loaded beside the running one, checked, warmed, swapped."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from fovea.errors import BundleInvalid, Unavailable
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from server.background import in_background
from server.compute.engine import Shared, open_engine
from server.config import ServeSettings
from server.errors import FolderUnreachable, NoModelReady, VersionRefused
from server.models.canary_following import CanaryFollowing
from server.models.captures import Captures
from server.models.demand import Demand
from server.models.following import Candidate, VersionSearch
from server.models.loaded_models import LoadedModels
from server.models.served_model import ServedModel
from server.models.shadow_following import ShadowFollowing
from server.telemetry.model_metrics import ModelMetrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Among:
    """What a model has to do with the others of its server."""

    name: str
    shared: Shared
    turn: asyncio.Lock
    """Is held by whoever loads: one version at a time, of all models."""


class Watcher:
    """Keeps the latest good version of a model current, or the one that --model-version names.

    Loads one version at a time, and only when the last one that was replaced is closed: there are never
    more than two in memory, or three where a second version is beside the current one. Lives in the event
    loop that serves; what takes long is done in threads.
    """

    def __init__(
        self,
        folder: str,
        settings: ServeSettings,
        models: LoadedModels[ServedModel],
        metrics: ModelMetrics,
        among: Among | None = None,
        captures: Captures | None = None,
    ) -> None:
        """`among` is of a server of several models. Raises SettingsInvalid where `folder` is none's URI."""
        self._folder = folder
        self._settings = settings
        self._models = models
        self._metrics = metrics
        self._among = among
        self._captures = captures
        cache = str((settings.model_cache or versions.default_cache()) / "models")
        about = {"model": among.name} if among else {}
        self._search = VersionSearch(folder, settings.version, cache, about)
        self._may_end = not settings.wait_for_model and settings.model_root is None
        self._gone = False
        self._wake = asyncio.Event()
        self._tries_refused_again = False
        self._demand = Demand(self._wake.set)
        self._device = threading.Lock()
        how = self._open, self._close_replaced, self._facts
        self._canary = CanaryFollowing(self._search.folder, settings, models, metrics, *how, self._wake.set)
        self._shadow: ShadowFollowing | None = None
        if settings.shadow is not None:
            self._shadow = ShadowFollowing(
                self._search.folder,
                settings,
                models,
                metrics,
                self._device,
                self._facts,
                self._drop_cached,
            )
            self._shadow.shadow.on_compared = self._canary.compared

    async def load_first(self, announce_waiting: Callable[[], None]) -> None:
        """Returns when there is a current model; with --wait-for-model, however long that takes.

        A version that is refused gives way to the one before it, here as later: pods that served on when
        it was refused must not be stopped by their next restart. Raises BundleInvalid when none is good, and
        Unavailable when the first look meets it, since that may be a mistake in the settings.
        """
        await self._look()
        if self._models.current is None and self._may_end:
            raise await in_background(self._search.why_there_is_none)
        for version in self._search.refused if self._may_end else ():
            self._search.warn_of(version)
        self._may_end = False
        if self._models.current is None:
            announce_waiting()
        while self._models.current is None:
            await self._next_look()
            await self.look()

    async def follow(self) -> None:
        """Serves each version that becomes the latest from then on; a pinned one is only looked after."""
        await self.look_at_second()
        while True:
            await self._next_look()
            await self.look()
            await self.look_at_second()

    def refused(self) -> dict[int, str]:
        """The versions that might be served next but were refused, and why, as callers may know it."""
        return {version: refusal.public_reason for version, refusal in self._search.refused.items()}

    def look_now(self) -> None:
        """Has everything looked at again at once, refused versions too; after the load that is under way."""
        self._tries_refused_again = True
        self._wake.set()

    async def look_on_demand(self) -> None:
        """Returns when a look that began from now on is over: the latest version serves.

        Whoever may call may ask for this, so a version that was refused, whose load takes seconds of every
        core, is tried again only when a file of it has changed.
        Raises VersionRefused where the latest is bad, FolderUnreachable, NoModelReady where there is none.
        """
        if self._settings.version is None or self._models.current is None:
            await self._demand.look()
        self._raise_what_hinders()

    async def look(self) -> None:
        """Makes the latest good version current, if it is not.

        Returns when the one that it replaced is closed. Nothing that goes wrong is raised.
        """
        with self._demand.being_met():
            try:
                await self._look()
            except Exception as error:  # the bucket does not answer, or there is a bug: serving goes on
                self._metrics.reloads.labels("failed").inc()
                self._search.fail(error)
            else:
                self._search.has_failed = False

    async def _next_look(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.watch_interval_s or None):
                await self._wake.wait()
        self._wake.clear()
        if self._tries_refused_again:
            self._tries_refused_again = False
            self._search.refused.clear()
            self._canary.try_again()
            if self._shadow is not None:
                self._shadow.try_again()

    async def look_at_second(self) -> None:
        """Has the version beside the current one that a rollout wants. Nothing that goes wrong is raised."""
        await self._canary.look(self._search.seen)
        if self._shadow is not None:
            await self._shadow.look()

    async def end_shadow(self) -> None:
        """Nothing is answered a second time from here on."""
        if self._shadow is not None:
            await self._shadow.shadow.end()

    async def close(self) -> None:
        """Ends what answers nobody, and the guard; the others are the models'."""
        self._canary.end()
        if self._shadow is not None:
            await self._shadow.close()

    async def _look(self) -> None:
        tried: set[int] = set()
        while (candidate := await in_background(partial(self._next, tried))) is not None:
            tried.add(candidate.version)
            second = self._models.second
            if second is not None and second.contract.version == candidate.version:
                self._canary.is_promoted(candidate.version)
                await self._go_live(second)
                return
            try:
                model = await self._open(candidate.version)
            except Unavailable:
                raise
            except Exception as error:  # what a model that is not ours makes its runtime raise is not known
                self._refuse(candidate, error)
            else:
                await self._go_live(model)
                return
        self._tell_if_gone()

    def _tell_if_gone(self) -> None:
        """Once when the served version is no longer listed, and once when it is back."""
        current = self._models.current
        if current is None:
            return
        facts = self._facts(current.contract.version)
        gone = current.contract.version not in self._search.seen.numbers
        if gone and not self._gone:
            self._metrics.reloads.labels("gone").inc()
            logger.warning(
                "the served version's folder is gone: it is served from memory, until the next start",
                extra=facts,
            )
        elif self._gone and not gone:
            logger.info("the served version's folder is back", extra=facts)
        self._gone = gone

    def _next(self, tried: set[int]) -> Candidate | None:
        current = self._models.current
        return self._search.next(current.contract.version if current else 0, tried)

    async def _open(self, version: int) -> ServedModel:
        settings, among = self._settings, self._among
        fetch = partial(versions.fetch, self._folder, version, settings.model_cache)
        bundle = await in_background(fetch)
        logger.debug("a version is fetched and verified", extra=self._facts(version))
        try:
            if among is None:
                engine, name = await open_engine(bundle, settings, device=self._device), ""
                shadow = self._shadow.shadow if self._shadow else None
                return ServedModel(engine, settings, self._metrics, name, self._captures, shadow)
            async with among.turn:
                engine = await open_engine(bundle, settings, among.shared)
                return ServedModel(engine, settings, self._metrics, among.name, self._captures)
        except BundleInvalid:
            await self._drop_cached(bundle)
            raise

    async def _go_live(self, model: ServedModel) -> None:
        before = self._models.current
        self._canary.give_way(model)
        self._models.swap(model)
        figures = model.statistics
        self._metrics.show_model(
            model.bundle, model.provider, model.precision, figures.drifts, figures.accuracy
        )
        verdict = model.contract.verdict
        if verdict and verdict.word == "Not fit to ship":
            facts = self._facts(model.contract.version) | {"against": "; ".join(verdict.against)}
            logger.warning(
                "the version that is live is not fit to ship, says its training report", extra=facts
            )
        if before:
            self._metrics.reloads.labels("swapped").inc()
            facts = self._facts(model.contract.version) | {"provider": model.provider}
            logger.info("new version is live", extra=facts)
            await self._close_replaced(before)

    async def _close_replaced(self, model: ServedModel) -> None:
        await self._models.close_replaced()
        logger.info("replaced version is closed", extra=self._facts(model.contract.version))
        await self._drop_cached(model.bundle)

    def _facts(self, version: int) -> dict[str, Any]:
        """For the log."""
        return {"model": self._among.name, "version": version} if self._among else {"version": version}

    def _refuse(self, candidate: Candidate, error: Exception) -> None:
        self._search.refuse(candidate, error)
        self._metrics.reloads.labels("refused").inc()
        logger.debug("a version cannot be opened", exc_info=error)
        if not self._may_end:  # else this may be the one line that the program ends with
            self._search.warn_of(candidate.version)

    def _raise_what_hinders(self) -> None:
        if self._search.has_failed:
            raise FolderUnreachable(
                "the folder of versions cannot be looked at now; the server's log says why"
            )
        current = self._models.current.contract.version if self._models.current else 0
        if (version := self._search.hindering(current)) is not None:
            raise VersionRefused(f"version {version} is refused: {self.refused()[version]}")
        if not current:
            raise NoModelReady("no version is published yet")

    async def _drop_cached(self, bundle: ModelBundle) -> None:
        # A pod that lives for months would fill its disk with the versions that it has served. The same one
        # may be loaded once more: its processes that die are started again from these files.
        shadow = self._shadow.second if self._shadow else None
        loaded = (self._models.current, self._models.second, shadow)
        if any(model is not None and model.bundle.path == bundle.path for model in loaded):
            return
        await in_background(partial(versions.drop_cached, bundle, self._folder))
