"""What of the answers is captured: chosen as they are given, written beside the calls."""

import asyncio
import hashlib
import logging
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NamedTuple
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from fovea.capture.files import put_window, require_pyarrow
from fovea.capture.reasons import REASONS, Reason, Rules
from fovea.capture.retention import remove_older
from fovea.capture.rows import TOP, Captured, Window
from fovea.capture.sampling import Sample
from fovea.errors import FoveaError
from fovea.model.bundle import BundleContract
from fovea.model.classifier import top_k
from fovea.stores.storage import open_folder
from fovea.v1 import classify_pb2 as pb
from server.background import in_background
from server.config import ServeSettings
from server.models.model import Classified
from server.models.told_answers import answers_of, shadow_columns
from server.rollout.shadow import ShadowAnswer
from server.telemetry.drift import DriftGauge
from server.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

FLUSH_S: Final = 5.0
"""What the last window has at least, however little of the grace the calls have left."""
RETENTION_EVERY_S: Final = 3600.0
SPARE_BYTES: Final = 4096
"""What may be kept in memory beside an image, rather than copy the image: the rest of its call."""

Content = bytes | memoryview


class Answer(NamedTuple):
    """One that was chosen, as it is kept until its window ends."""

    content: Content
    classified: Classified
    """Without its details: their arrays, as its own would, hold on to those of the whole batch."""
    distance: float | None
    unknown: bool | None
    answered_at: datetime
    by: "ModelCaptures"
    shadow: ShadowAnswer | None


class Captures:
    """The open window, and what writes the last one. Belongs to the event loop that serves.

    Two windows are in memory at most, one of them a second time as the file that it becomes.
    """

    def __init__(self, uri: str, settings: ServeSettings, metrics: Metrics) -> None:
        """Raises SettingsInvalid for a URI that is none, or without pyarrow. The store is not asked."""
        require_pyarrow("--capture")
        self.rules = Rules(settings.capture_share, settings.capture_margin)
        self._folder = open_folder(uri, long_retries=True)
        self._settings = settings
        self._budget = settings.capture_window
        self._captured, self._lost = metrics.captured.labels, metrics.captures_lost.labels
        self._models: WeakSet[ModelCaptures] = WeakSet()
        self._source = uuid.uuid4().hex[:12]
        self._windows = 0
        self._stop = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._has_failed = self._is_at_fault = False
        self._removed_at = -RETENTION_EVERY_S
        self._open_window()

    def of_model(
        self, contract: BundleContract, identity: pb.ModelVersion, drift: DriftGauge
    ) -> "ModelCaptures":
        """Of a version; `drift` is that of its classes."""
        model = ModelCaptures(self, contract, identity, drift)
        self._models.add(model)
        return model

    def offer(self, reason: Reason | None, size_bytes: int, make: Callable[[], Answer]) -> None:
        """An answer, and what speaks for it."""
        self._answers += 1
        if reason is not None and not self._sample.offer(reason, size_bytes, make):
            self._lost("too_large").inc()

    def lose(self, error: Exception) -> None:
        """An answer that could not be looked at."""
        self._lost("fault").inc()
        if not self._is_at_fault:
            logger.warning("an answer cannot be captured; more are only counted", exc_info=error)
        self._is_at_fault = True

    def begin(self) -> None:
        """From here on each window is written as it ends."""
        with_images = self._settings.capture_images
        logger.info("answers are captured", extra={"captures": self._folder.uri, "images": with_images})
        self._warn_of_large_images()
        self._writing = asyncio.create_task(self._write_windows())

    async def close(self, within_s: float) -> None:
        """Writes the open window; what takes longer is given up."""
        self._stop.set()
        if self._writing is None:
            return
        done, _ = await asyncio.wait((self._writing,), timeout=max(within_s, FLUSH_S))
        if not done:
            self._writing.cancel()
            logger.warning("the last captures were not written in time", extra={"captures": self._folder.uri})

    def _warn_of_large_images(self) -> None:
        window, largest = self._budget.size_bytes, self._settings.max_image_bytes
        if window < largest:
            text = "images that are larger than a window are not captured: raise --capture-bytes-per-hour"
            logger.warning(text, extra={"window_bytes": window, "max_image_bytes": largest})

    async def _write_windows(self) -> None:
        is_last = False
        while not is_last:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.capture_seconds):
                    await self._stop.wait()
            is_last = self._stop.is_set()
            await self._end_window()

    async def _end_window(self) -> None:
        """Answers go on into the next one."""
        ended, kept = datetime.now(UTC), self._sample.kept
        share = self._settings.capture_share
        window = Window(self._began, ended, self._answers, self._sample.seen, share)
        name = f"{self._source}-{self._windows:05}"
        self._open_window()
        try:
            await in_background(partial(self._write, name, kept, window, list(self._models)))
        except Exception as error:  # there is no thread to be had; the next window may get one
            self._lose_window(kept, error)

    def _open_window(self) -> None:
        self._began, self._answers = datetime.now(UTC), 0
        self._windows += 1
        self._sample: Sample[Answer] = Sample(self._budget, REASONS, random.Random())

    def _write(
        self, name: str, kept: list[tuple[str, Answer]], window: Window, models: "list[ModelCaptures]"
    ) -> None:
        """In a thread of its own. Whatever goes wrong costs these captures, and nothing else."""
        try:
            if kept:
                rows = [self._row(reason, answer) for reason, answer in kept]
                put_window(self._folder, name, rows, window)
                self._tell_success()
        except Exception as error:
            self._lose_window(kept, error)
        else:
            for reason, _ in kept:
                self._captured(reason).inc()
        if not self._stop.is_set():  # there is no time for more than the last window
            self._look_after(models)

    def _look_after(self, models: "list[ModelCaptures]") -> None:
        try:
            for model in models:
                model.look_for_drift()
            self._remove_older()
        except FoveaError as error:
            logger.warning("old captures cannot be removed", extra={"reason": str(error)})
        except Exception:
            logger.exception("the captures cannot be looked after")

    def _row(self, reason: str, answer: Answer) -> Captured:
        return answer.by.row(answer, reason, with_image=self._settings.capture_images)

    def _lose_window(self, kept: list[tuple[str, Answer]], error: Exception) -> None:
        """Tells it once, until captures are written again."""
        self._lost("store").inc(len(kept))
        if not self._has_failed:
            unforeseen = None if isinstance(error, FoveaError) else error
            text = "captures cannot be written and are lost, until they can be"
            logger.warning(text, extra={"reason": str(error)}, exc_info=unforeseen)
        self._has_failed = True

    def _tell_success(self) -> None:
        if self._has_failed:
            logger.info("captures are written again", extra={"captures": self._folder.uri})
        self._has_failed = False

    def _remove_older(self) -> None:
        days, now = self._settings.capture_retention_days, time.monotonic()
        if days is not None and now - self._removed_at >= RETENTION_EVERY_S:
            self._removed_at = now
            keeps_from = datetime.now(UTC) - timedelta(days=days)
            removed = remove_older(self._folder, keeps_from, self._stop.is_set)
            if removed:
                logger.info("old captures are removed", extra={"files": removed, "older_than_days": days})


class ModelCaptures:
    """Of one version."""

    def __init__(
        self, captures: Captures, contract: BundleContract, identity: pb.ModelVersion, drift: DriftGauge
    ) -> None:
        self._captures = captures
        self._labels, self._novelty = contract.labels, contract.out_of_distribution
        self._answers = answers_of(contract, captures.rules)
        self._identity = identity
        self._drift = drift
        self._drifting: frozenset[int] = frozenset()

    def offer(self, content: Content, answer: Classified, shadow: ShadowAnswer | None = None) -> None:
        """An image's file, and what was answered, once. Raises nothing: its call has its answer already."""
        try:
            self._offer(content, answer, shadow)
        except Exception as error:
            self._captures.lose(error)

    def look_for_drift(self) -> None:
        """From any thread."""
        self._drifting = frozenset(self._drift.drifting())

    def _offer(self, content: Content, answer: Classified, shadow: ShadowAnswer | None) -> None:
        """Copies the file at most: that of a call is kept where it lies."""
        distance = answer.details.distance if answer.details else None
        unknown = None
        if distance is not None and self._novelty is not None:
            unknown = self._novelty.is_unknown(distance)
        reason = self._captures.rules.reason(
            random.random(),
            abstained=answer.abstained,
            unknown=unknown,
            is_drifting=self._answers.is_any(answer, self._drifting),
            is_close=self._answers.is_close(answer),
            disagrees=self._answers.disagrees(answer, shadow),
        )

        def make() -> Answer:
            kept, now = to_keep(content), datetime.now(UTC)
            return Answer(kept, _alone(answer), distance, unknown, now, self, shadow)

        self._captures.offer(reason, len(content), make)

    def row(self, answer: Answer, reason: str, *, with_image: bool) -> Captured:
        """From any thread."""
        classified = answer.classified
        labels, probabilities = self._best(classified.probabilities)
        return Captured(
            image=answer.content if with_image else None,
            sha256=hashlib.sha256(answer.content).hexdigest(),
            size_bytes=len(answer.content),
            label=self._labels[classified.best],
            probability=float(classified.probabilities[classified.best]),
            top_labels=labels,
            top_probabilities=probabilities,
            margin=self._answers.margin(classified.probabilities),
            abstained=classified.abstained,
            distance=answer.distance,
            unknown=answer.unknown,
            model_name=self._identity.name,
            model_version=self._identity.version,
            model_digest=self._identity.digest,
            answered_at=answer.answered_at,
            reason=reason,
            labels=self._answers.selected(classified.probabilities),
            **shadow_columns(answer.shadow),
        )

    def _best(self, probabilities: npt.NDArray[np.float32]) -> tuple[tuple[str, ...], tuple[float, ...]]:
        best, values = top_k(probabilities[np.newaxis], min(TOP, len(self._labels)))
        return tuple(self._labels[index] for index in best[0].tolist()), tuple(values[0].tolist())


def captures_of(settings: ServeSettings, metrics: Metrics) -> Captures | None:
    """None where nothing is captured. Raises as Captures does."""
    return Captures(settings.capture, settings, metrics) if settings.capture is not None else None


def _alone(answer: Classified) -> Classified:
    return answer._replace(probabilities=answer.probabilities.copy(), details=None)


def to_keep(content: Content) -> Content:
    """The image itself where little else is kept with it; a copy of one in a large call, or in memory that
    others will write to."""
    if isinstance(content, bytes):
        return content
    whole = content.obj
    is_its_own = isinstance(whole, bytes) and len(whole) - len(content) <= SPARE_BYTES
    return content if is_its_own else bytes(content)
