"""How a version comes beside the current one, and goes: loaded as any other, refused, promoted or removed."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from fovea.errors import BundleInvalid, FoveaError, Unavailable
from fovea.model import versions
from fovea.model.bundle import BundleContract
from fovea.stores.folder import Entry, Folder
from server.background import in_background
from server.models.following import Candidate, refusal_of
from server.rollout.wanted import Rollout
from server.telemetry.model_metrics import ModelMetrics

logger = logging.getLogger(__name__)


class Servable(Protocol):
    """A version that can answer."""

    @property
    def contract(self) -> BundleContract: ...

    async def close(self) -> None: ...


M = TypeVar("M", bound=Servable)


class Beside(Protocol[M]):
    """Where it stands."""

    @property
    def current(self) -> Servable | None: ...

    @property
    def second(self) -> M | None: ...

    def put_second(self, model: M) -> None:
        """It can be used from here on."""

    def drop_second(self) -> None:
        """It is not used any more."""


class _Refused(NamedTuple):
    """Holds while its files stay as they are, and for a version that cannot be beside another, that too."""

    files: tuple[Entry, ...]
    beside: int | None


class _Unfit(NamedTuple):
    """Why a version cannot be beside another."""

    why: str
    current: int


class SecondVersion(Generic[M]):
    """Of one model. Belongs to its watcher, which looks at one version at a time."""

    def __init__(
        self,
        folder: Folder,
        models: Beside[M],
        metrics: ModelMetrics,
        open_version: Callable[[int], Awaitable[M]],
        close_replaced: Callable[[M], Awaitable[None]],
        facts: Callable[[int], dict[str, Any]],
        why_it_cannot: Callable[[M], str] = lambda model: "",
    ) -> None:
        """`open_version` verifies, checks and warms one; `close_replaced` closes what has left `models`.

        `why_it_cannot` be beside the current one as that is now; empty where it can.
        """
        self._folder = folder
        self._models = models
        self._metrics = metrics
        self._open = open_version
        self._close_replaced = close_replaced
        self._facts = facts
        self._refused: dict[int, _Refused] = {}
        """The one that is wanted, where it cannot be loaded, or not be beside the current one."""
        self._left: list[tuple[M, _Unfit | None]] = []
        """To be closed by the next look, and refused."""
        self._why_it_cannot = why_it_cannot
        self.rollout: Rollout | None = None
        """What was wanted last."""
        self._over: set[tuple[int, int]] = set()
        """Rollouts that have ended in this process, by record and version, whatever the options say."""
        self._has_failed = False

    async def look(self, wanted: Callable[[], Rollout | None]) -> None:
        """Has the version loaded that is wanted, and no other. Nothing that goes wrong is raised.

        `wanted` may take long, and raise.
        """
        try:
            await self._close_left()
            self.rollout = await in_background(wanted)
            await self._look(self.rollout)
        except Exception as error:  # the bucket does not answer, or there is a bug: the current one serves on
            self._metrics.reloads.labels("failed").inc()
            if not self._has_failed:  # said once, until a look succeeds
                unforeseen = None if isinstance(error, FoveaError) else error
                logger.warning(
                    "cannot look for the second version", extra={"reason": str(error)}, exc_info=unforeseen
                )
            self._has_failed = True
        else:
            self._has_failed = False

    def try_again(self) -> None:
        """A version that was refused is worth it, though its files are the same; not one that is over."""
        self._refused.clear()

    def leave(self, why: str = "", beside: int = 0) -> None:
        """At once: the next look closes it, and refuses it as long as this one is the current one, where it
        cannot be beside that; `why` is empty where it has left for something else."""
        second = self._models.second
        if second is not None:
            self._models.drop_second()
            self._left.append((second, _Unfit(why, beside) if why else None))

    def is_promoted(self, version: int) -> None:
        """It is the current one from here on: its rollout has ended, whatever the options go on to say."""
        self.is_over(version, self.rollout.number if self.rollout else 0)
        text = "the second version is the current one from here on: its rollout has ended"
        logger.info(text, extra=self._facts(version))

    def is_over(self, version: int, record: int) -> None:
        """Its rollout by this record is, until another says otherwise; 0 is the options'."""
        self._over.add((record, version))

    async def _look(self, rollout: Rollout | None) -> None:
        is_there = rollout is not None and await in_background(
            partial(versions.is_published, self._folder, rollout.version)
        )
        # Not before: the guard may have taken one out meanwhile.
        second, current = self._models.second, self._models.current
        is_current = second and current and second.contract.version == current.contract.version
        if second is not None and is_current:
            self.is_promoted(second.contract.version)
            await self._end(second)
        elif second is not None and not (rollout and is_there and second.contract.version == rollout.version):
            await self._end(second)
        if rollout is not None and self._models.current is not None and self._models.second is None:
            await self._begin(rollout, self._models.current.contract.version, is_there=is_there)

    async def _begin(self, rollout: Rollout, current: int, *, is_there: bool) -> None:
        version = rollout.version
        if (rollout.number, version) in self._over:
            return
        if version == current:
            self.is_over(version, rollout.number)
            text = "the version that is to be beside the current one is the current one: nothing is loaded"
            logger.warning(text, extra=self._facts(version))
            return
        candidate = await self._candidate(version)
        if self._refused.get(version) in [_Refused(candidate.files, beside) for beside in (None, current)]:
            return
        try:
            if not is_there:
                raise await in_background(partial(versions.absent, self._folder, version))
            model = await self._open(version)
        except Unavailable:
            raise
        except Exception as error:  # what a model that is not ours makes its runtime raise is not known
            self._refuse(candidate, error)
            return
        if why := self._why_it_cannot(model):
            await model.close()
            self._refuse(candidate, BundleInvalid(why), beside=current)
            return
        self._refused.clear()
        self._models.put_second(model)
        logger.info("a second version is live beside the current one", extra=self._facts(version))

    async def _candidate(self, version: int) -> Candidate:
        folder = self._folder.folder(str(version))
        return Candidate(version, await in_background(lambda: tuple(folder.entries())))

    def _refuse(self, candidate: Candidate, error: Exception, beside: int | None = None) -> None:
        refusal = refusal_of(candidate, error, ())
        self._refused[candidate.version] = _Refused(candidate.files, beside)
        self._metrics.reloads.labels("refused").inc()
        logger.warning(
            "the second version is refused", extra=self._facts(candidate.version) | {"reason": refusal.reason}
        )
        logger.debug("a version cannot be opened", exc_info=error)

    async def _close_left(self) -> None:
        while self._left:
            second, unfit = self._left.pop()
            await self._close_replaced(second)
            if unfit is not None:
                candidate = await self._candidate(second.contract.version)
                self._refuse(candidate, BundleInvalid(unfit.why), unfit.current)

    async def _end(self, second: M) -> None:
        version = second.contract.version
        self._models.drop_second()
        logger.info("the second version leaves: its rollout has ended", extra=self._facts(version))
        await self._close_replaced(second)
