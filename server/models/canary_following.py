"""The canary of a model: its version as it comes and goes, its share of the calls, and its guard."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fovea.model.versions import Listed
from fovea.stores.folder import Folder
from server.models.loaded_models import LoadedModels
from server.models.second_version import SecondVersion
from server.models.served_model import ServedModel
from server.rollout.guard import Bounds, Guard, Removal
from server.rollout.measured import Measured
from server.rollout.stand_in import why_it_cannot
from server.rollout.wanted import Rollout, Wanted
from server.rollout_options import RolloutOptions
from server.telemetry.model_metrics import ModelMetrics

logger = logging.getLogger(__name__)


class CanaryFollowing:
    """Belongs to the model's watcher, as `SecondVersion` does, which has this version loaded and closed."""

    def __init__(
        self,
        folder: Folder,
        settings: RolloutOptions,
        models: LoadedModels[ServedModel],
        metrics: ModelMetrics,
        open_version: Callable[[int], Awaitable[ServedModel]],
        close_replaced: Callable[[ServedModel], Awaitable[None]],
        facts: Callable[[int], dict[str, Any]],
        wake: Callable[[], None],
    ) -> None:
        """`wake` has the watcher look soon; the others are as SecondVersion's."""
        self._settings = settings
        self._models = models
        self._metrics = metrics
        self._facts = facts
        self._wake = wake
        self._wanted = Wanted(settings, folder)
        self._version: SecondVersion[ServedModel] = SecondVersion(
            folder, self, metrics, open_version, close_replaced, facts, self._why_it_cannot
        )
        self._measured: tuple[ServedModel, ...] = ()
        self._guarding: asyncio.Task[None] | None = None
        self._record = 0
        """The rollout's by which calls are shared. A look may know a later one that is not obeyed yet."""

    async def look(self, seen: Listed) -> None:
        """Has it loaded, and its share of the calls. Nothing that goes wrong is raised.

        `seen` is the last look at the folder.
        """
        await self._version.look(partial(self._wanted.look, seen))
        self._share(self._version.rollout)

    def try_again(self) -> None:
        """See `SecondVersion`."""
        self._version.try_again()

    def is_promoted(self, version: int) -> None:
        """See `SecondVersion`."""
        self.end()
        self._version.is_promoted(version)

    def give_way(self, current: ServedModel) -> None:
        """Before this one is the current one: what cannot be beside it leaves, else calls would fail."""
        second = self.second
        if second is None or second is current:
            return
        if why := why_it_cannot(second.contract, current.contract, current.precision):
            self._version.leave(why, current.contract.version)

    @property
    def current(self) -> ServedModel | None:
        """See `Beside`."""
        return self._models.current

    @property
    def second(self) -> ServedModel | None:
        """See `Beside`."""
        return self._models.second

    def put_second(self, model: ServedModel) -> None:
        """See `Beside`."""
        self._models.put_second(model)

    def drop_second(self) -> None:
        """See `Beside`."""
        self._models.drop_second()
        self.end()

    def compared(self, version: int, agrees: bool) -> None:
        """This version was shown an image that the current one had answered."""
        second = self.second
        if second is not None and second.measured is not None and second.contract.version == version:
            second.measured.compared(agrees=agrees)

    def end(self) -> None:
        """No calls are shared any more."""
        for model in self._measured:
            model.measured, model.batcher.waits_for_workers = None, False
        self._measured = ()
        if self._guarding is not None:
            self._guarding.cancel()
            self._guarding = None
        if self._models.choice.split is not None:
            self._models.share(None)
        self._metrics.canary_percent.set(0)

    def _why_it_cannot(self, version: ServedModel) -> str:
        """Have a share of the current one's calls; empty where it can."""
        current = self.current
        return why_it_cannot(version.contract, current.contract, current.precision) if current else ""

    def _share(self, rollout: Rollout | None) -> None:
        current, second = self.current, self.second
        if rollout is None or current is None or second is None:
            self.end()
            return
        self._record = rollout.number
        if self._measured != (current, second):
            self._measure(current, second)
        split = self._models.choice.split
        if split is None or split.percent != rollout.percent:
            self._models.share(rollout.percent)
            self._metrics.canary_percent.set(rollout.percent)
            facts = self._facts(second.contract.version) | {"percent": rollout.percent}
            logger.info("the canary answers its share of the calls", extra=facts)

    def _measure(self, current: ServedModel, second: ServedModel) -> None:
        """And guards, from now on."""
        self.end()
        self._measured = current, second
        numbers = [model.contract.version for model in self._measured]
        self._metrics.tell_apart(numbers)
        of_current, of_second = (
            Measured(model.contract.labels, self._metrics.of_version(number))
            for model, number in zip(self._measured, numbers, strict=True)
        )
        current.measured, second.measured = of_current, of_second
        # Fronts send it some more before they hear that it has lost its workers, and the current one answers.
        second.batcher.waits_for_workers = True
        if self._settings.canary_guard:
            take_out = partial(self._take_out, second)
            guard = Guard(of_second, of_current, Bounds.of(self._settings), take_out, self._percent)
            self._guarding = asyncio.create_task(guard.watch())

    def _percent(self) -> float:
        """Of the calls, that are the canary's now."""
        split = self._models.choice.split
        return split.percent if split is not None else 0.0

    def _take_out(self, second: ServedModel, removal: Removal) -> None:
        if self.second is not second:
            return
        self._guarding = None  # it is who calls
        self._version.leave()
        self._metrics.canary_removed.labels(removal.reason).inc()
        version = second.contract.version
        logger.warning(
            "the canary is taken out: it is worse than the current version",
            extra=self._facts(version) | removal._asdict(),
        )
        self._version.is_over(version, self._record)
        self._wake()
