"""A watcher in this process, without a server around it."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fovea.model.bundle import ModelBundle
from fovea.model.versions import publish
from fovea.settings import load
from server.config import PROGRAM, ServeSettings
from server.models.loaded_models import LoadedModels
from server.models.served_model import ServedModel
from server.models.watcher import Watcher
from server.telemetry.metrics import Metrics
from tests import tiny

_gains = itertools.count(2)


class Watched:
    """A watcher and what it feeds; each version that is published has a gain of its own."""

    def __init__(self, models: str, work: Path, *flags: str) -> None:
        flags = ("--provider", "cpu", "--threads", "1", "--model-cache", str(work / "cache"), *flags)
        self.settings = load(ServeSettings, ["--models", models, *flags], PROGRAM)
        self.models: LoadedModels[ServedModel] = LoadedModels()
        self.metrics = Metrics()
        metrics = self.metrics.of_model("pets")
        self.watcher = Watcher(models, self.settings, self.models, metrics)
        self.folder = models
        self._work = work

    @property
    def version(self) -> int:
        return self.models.choice.choose(0).contract.version

    def publish(self, spoil: Callable[[ModelBundle], ModelBundle] = lambda staged: staged) -> ModelBundle:
        gain = next(_gains)
        staged = tiny.stage_bundle(self._work / f"staged-{gain}", gain=gain)
        return publish(spoil(staged), self.folder)

    async def load_first(self) -> None:
        await self.watcher.load_first(lambda: None)

    def reloads(self, outcome: str) -> float:
        value = self.metrics.registry.get_sample_value("fovea_reloads_total", {"outcome": outcome})
        assert value is not None
        return value


@asynccontextmanager
async def watching(models: Path | str, work: Path, *flags: str) -> AsyncIterator[Watched]:
    watched = Watched(str(models), work, *flags)
    try:
        yield watched
    finally:
        await watched.models.close()
        await watched.watcher.close()
