"""Another version answers some images a second time, where nobody has to wait for that, and is compared."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fovea.images.spec import PreprocessSpec
from fovea.model.bundle import BundleContract
from fovea.model.task import selected_labels
from server.compute.backend import WorkItem
from server.queue.priorities import ItemResult, Priority
from server.rollout.shadow_version import ShadowVersion
from server.telemetry.shadow_metrics import ShadowMetrics

logger = logging.getLogger(__name__)

WAITING: Final = 4
"""Images that wait to be answered again, at most; one more, and the oldest is dropped."""
AFTER_S: Final = 0.001
"""So long after an image's answer at the soonest: by then it is on its way to the caller."""
AGAIN_S: Final = 0.05
"""While images wait, it is seen so often whether a worker is idle now: that may be long after an answer."""


class AnsweredImage(NamedTuple):
    """One whose caller has its answer, or nearly so."""

    content: bytes | memoryview
    """Stays as it is."""
    spec: PreprocessSpec | None
    """Of an image that came as pixels: how they were prepared."""
    label: str
    """The answer, and its probability; of a multi-label model the most probable label."""
    probability: float
    selected: tuple[str, ...] | None = None
    """Of a multi-label model, all that it selects."""


class ShadowAnswer(NamedTuple):
    """What the other version says of it."""

    label: str
    probability: float
    version: int
    selected: tuple[str, ...] | None = None
    """As of `AnsweredImage`."""

    def disagreed(self, label: str, selected: tuple[str, ...] | None) -> frozenset[str]:
        """The label that the current version gives, where this is another one; of a multi-label model, those
        that one of both selects."""
        given = frozenset((self.label,) if self.selected is None else self.selected)
        return given.symmetric_difference(selected) if selected is not None else frozenset((label,)) - given


Then = Callable[[ShadowAnswer | None], None]


class _Waiting(NamedTuple):
    image: AnsweredImage
    then: Then


class Shadow:
    """Has a share of one model's images answered again. Belongs to the event loop that serves.

    It begins with an image only where no other waits and a worker of those that serve is idle. What it has
    under way is small: a batch is of one image, and there are as many as its version has workers.
    """

    def __init__(
        self,
        share: float,
        max_bytes: int,
        metrics: ShadowMetrics,
        is_current: Callable[[int], bool],
        is_spare: Callable[[], bool],
    ) -> None:
        """Of the images of the version that `is_current`, `share` is drawn; those that it has are `max_bytes`
        at most. `is_spare` says that nobody needs a worker now.
        """
        self._share = share
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._is_current = is_current
        self._is_spare = is_spare
        self._model: ShadowVersion | None = None
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        """Of those that wait, and those that are being answered."""
        self._next_look: asyncio.TimerHandle | None = None
        self._answering: set[asyncio.Task[ShadowAnswer]] = set()
        self._has_failed = False
        self.on_compared: Callable[[int, bool], None] = lambda version, agrees: None
        """Is told which version has answered one more image again, and whether by the same label."""

    def use(self, model: ShadowVersion | None) -> None:
        """Which version answers again, from here on; none drops what it has, in this turn of the loop and
        the next ones."""
        self._model = model
        if model is None:
            self._drop_until(lambda: not self._waiting)
            for answering in self._answering:
                answering.cancel()

    async def end(self) -> None:
        """Returns when all that it had is dropped, and `then` was called of it."""
        self.use(None)
        if self._answering:
            await asyncio.wait(self._answering)

    def draws(self, version: int) -> bool:
        """Whether an image, which this one has answered, is one of the share."""
        if self._waiting:  # one more is answered: a worker may be idle now
            self._look_soon()
        return self._model is not None and random.random() < self._share and self._is_current(version)

    def offer(self, image: AnsweredImage, then: Then) -> None:
        """One that was drawn. Raises nothing.

        `then` is called once, now or later: with None where the other version does not answer it.
        """
        if not self._can_be_answered(image):
            then(None)
            return
        self._waiting.append(_Waiting(image, then))
        self._bytes += len(image.content)
        self._drop_until(lambda: len(self._waiting) <= WAITING and self._bytes <= self._max_bytes)
        self._look_soon()

    def _can_be_answered(self, image: AnsweredImage) -> bool:
        """Pixels that were prepared for a version are none for one that prepares them otherwise."""
        spec = self._model.contract.preprocess if self._model is not None else None
        return spec is not None and image.spec in (None, spec)

    def _drop_until(self, is_enough: Callable[[], bool]) -> None:
        while self._waiting and not is_enough():
            dropped = self._waiting.popleft()
            self._bytes -= len(dropped.image.content)
            self._metrics.count("dropped")
            dropped.then(None)

    def _look_soon(self, after_s: float = AFTER_S) -> None:
        loop = asyncio.get_running_loop()
        if self._next_look is not None:
            if self._next_look.when() <= loop.time() + after_s:
                return
            self._next_look.cancel()
        self._next_look = loop.call_later(after_s, self._look)

    def _look(self) -> None:
        self._next_look = None
        model = self._model
        if self._waiting and model is not None and model.batcher.is_spare and self._is_spare():
            waiting = self._waiting.popleft()
            answering = asyncio.create_task(self._answer(model, waiting.image))
            self._answering.add(answering)
            # Not at the end of the task itself: one that is cancelled before it begins never gets there.
            answering.add_done_callback(partial(self._answered, model, waiting))
        if self._waiting:
            self._look_soon(AGAIN_S)

    async def _answer(self, model: ShadowVersion, image: AnsweredImage) -> ShadowAnswer:
        """A batch of this image alone: the queue before its version has no other."""
        work = WorkItem(image.content, is_crop=image.spec is not None)
        result = await model.batcher.classify(work, priority=Priority.BULK)
        return self._compared(model, image, result)

    def _answered(
        self, model: ShadowVersion, waiting: _Waiting, answering: asyncio.Task[ShadowAnswer]
    ) -> None:
        self._answering.discard(answering)
        self._bytes -= len(waiting.image.content)
        self._look_soon()
        answer = None
        if answering.cancelled():
            self._metrics.count("dropped")
        elif (error := answering.exception()) is not None:
            self._fail(model, error)
        else:
            answer = answering.result()
        waiting.then(answer)

    def _compared(self, model: ShadowVersion, image: AnsweredImage, result: ItemResult) -> ShadowAnswer:
        best, contract = int(result.row.argmax()), model.contract
        said = contract.labels[best], float(result.row[best]), contract.version
        answer = ShadowAnswer(*said, _selected(contract, result.row))
        disagreed = answer.disagreed(image.label, image.selected)
        self.on_compared(answer.version, not disagreed)
        self._metrics.compare(disagreed, answer.probability - image.probability)
        self._has_failed = False
        return answer

    def _fail(self, model: ShadowVersion, error: BaseException) -> None:
        """Says it once, until an image is answered again."""
        self._metrics.count("failed")
        if not self._has_failed:
            facts = {"version": model.contract.version, "reason": str(error)}
            logger.warning("the shadow cannot answer an image; more are only counted", extra=facts)
        self._has_failed = True


def _selected(contract: BundleContract, probabilities: npt.NDArray[np.float32]) -> tuple[str, ...] | None:
    if contract.thresholds is None:
        return None
    (indexes,) = selected_labels(probabilities[np.newaxis], contract.thresholds)
    return tuple(contract.labels[index] for index in indexes)
