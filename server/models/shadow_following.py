"""The shadow of a model: its version as it comes and goes, and what it is to answer."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fovea.errors import BundleInvalid
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.stores.folder import Folder
from server.background import in_background
from server.config import ServeSettings
from server.models.loaded_models import LoadedModels
from server.models.second_version import SecondVersion
from server.models.served_model import ServedModel
from server.rollout.shadow import Shadow
from server.rollout.shadow_version import ShadowVersion, open_shadow
from server.rollout.wanted import Rollout
from server.telemetry.model_metrics import ModelMetrics


class ShadowFollowing:
    """Belongs to the model's watcher, as `SecondVersion` does, which has this version loaded and closed."""

    def __init__(
        self,
        folder: Folder,
        settings: ServeSettings,
        models: LoadedModels[ServedModel],
        metrics: ModelMetrics,
        device: threading.Lock,
        facts: Callable[[int], dict[str, Any]],
        drop_cached: Callable[[ModelBundle], Awaitable[None]],
    ) -> None:
        """With --shadow. `drop_cached` removes a version's files unless another that is loaded has them."""
        self._folder = folder
        self._settings = settings
        self._models = models
        self._metrics = metrics.shadow
        self._device = device
        self._drop_cached = drop_cached
        self._wanted = Rollout(settings.shadow or 0)
        share, most = settings.shadow_percent / 100, settings.max_image_bytes
        self.shadow = Shadow(share, most, self._metrics, self._is_current, self._is_spare)
        self._version = SecondVersion(
            folder, self, metrics, self._open, self._close, lambda version: {**facts(version), "as": "shadow"}
        )
        self.second: ShadowVersion | None = None
        """It is loaded."""

    async def look(self) -> None:
        """Has it loaded once it is there, until it is the current version or is gone."""
        await self._version.look(lambda: self._wanted)
        if self.second is not None and self.current is not None:
            self._metrics.foresee(self.current.contract.labels)

    def try_again(self) -> None:
        """See `SecondVersion`."""
        self._version.try_again()

    async def close(self) -> None:
        self.shadow.use(None)
        if self.second is not None:
            await self.second.close()

    @property
    def current(self) -> ServedModel | None:
        """See `Beside`."""
        return self._models.current

    def put_second(self, model: ShadowVersion) -> None:
        """See `Beside`."""
        self.second = model
        self.shadow.use(model)

    def drop_second(self) -> None:
        """See `Beside`."""
        self.second = None
        self.shadow.use(None)

    def _is_current(self, version: int) -> bool:
        return self.current is not None and version == self.current.contract.version

    def _is_spare(self) -> bool:
        """Neither the current version nor one beside it needs a worker."""
        answering = (self.current, self._models.second)
        return all(model.batcher.is_spare for model in answering if model is not None)

    async def _open(self, version: int) -> ShadowVersion:
        fetch = partial(versions.fetch, self._folder.uri, version, self._settings.model_cache)
        bundle = await in_background(fetch)
        try:
            return await open_shadow(bundle, self._settings, self._device)
        except BundleInvalid:
            await self._drop_cached(bundle)
            raise

    async def _close(self, model: ShadowVersion) -> None:
        await model.close()
        await self._drop_cached(model.bundle)
