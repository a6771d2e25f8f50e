"""A version that answers nobody: it computes only what nobody waits for."""

import math
import threading

from fovea.cpus import available_cpus
from fovea.model.bundle import ModelBundle
from server.background import in_background
from server.compute.backend import WorkItem
from server.compute.engine import Engine, open_engine
from server.config import ServeSettings
from server.queue.batcher import Batcher


class ShadowVersion:
    """Warm, with a queue of its own. Belongs to the event loop that it is made in."""

    def __init__(self, engine: Engine) -> None:
        self.bundle = engine.bundle
        self.contract = engine.bundle.contract
        self.batcher: Batcher[WorkItem] = Batcher(engine.workers, engine.limits, engine.costs)
        self._folder = engine.folder

    async def close(self) -> None:
        await self.batcher.close()
        if self._folder is not None:
            await in_background(self._folder.remove)


async def open_shadow(
    bundle: ModelBundle, settings: ServeSettings, device: "threading.Lock | None" = None
) -> ShadowVersion:
    """With as large a part of the cores as it has of the images; `device` is a GPU's, of all versions.

    Raises what `open_engine` does.
    """
    cores = settings.threads or available_cpus()
    threads = max(1, math.ceil(cores * settings.shadow_percent / 100))
    settings = settings.model_copy(update={"threads": threads})
    engine = await open_engine(bundle, settings, device=device, is_spare=True)
    return ShadowVersion(engine)
