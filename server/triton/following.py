"""Keeping Triton's repository in step with the models' folder."""

import logging
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fovea.errors import ExitCode, Unavailable
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from server.models.following import VersionSearch
from server.triton.config import TritonSettings
from server.triton.repository import drop_older, labels_text, lay_out

logger = logging.getLogger(__name__)


class Follower:
    """Keeps the repository in step with --models.

    A version goes into it only when it gives its golden answers here: Triton would refuse a bad one and
    serve on, but a pod that starts later would have nothing else to serve.
    """

    def __init__(self, settings: TritonSettings) -> None:
        """Raises SettingsInvalid where --models names no folder."""
        self._settings = settings
        self._search = VersionSearch(settings.models, settings.version)
        self._current = 0

    def lay_out_first(self) -> None:
        """The latest good version. Raises BundleInvalid when none is, Unavailable, DataInvalid."""
        refused = self._look()
        if not self._current:
            raise self._search.why_there_is_none()
        self._warn_of(refused)

    def look(self) -> None:
        """The latest good version, if it is not the current one. What goes wrong is not raised."""
        try:
            self._warn_of(self._look())
        except Exception as error:  # the bucket does not answer, or there is a bug: it looks again
            self._search.fail(error)
        else:
            self._search.has_failed = False

    def _look(self) -> set[int]:
        """Which versions were refused."""
        refused: set[int] = set()
        while (candidate := self._search.next(self._current, refused)) is not None:
            try:
                bundle = self._open(candidate.version)
            except Unavailable:
                raise
            except Exception as error:  # what a model that is not ours makes its runtime raise is not known
                self._search.refuse(candidate, error)
                refused.add(candidate.version)
            else:
                self._take(bundle)
                break
        return refused

    def _open(self, version: int) -> ModelBundle:
        settings = self._settings
        bundle = versions.fetch(settings.models, version, settings.model_cache)
        try:
            labels_text(bundle)
            Classifier(bundle, "cpu", precision=settings.precision)  # makes the golden check
        except BaseException:
            versions.drop_cached(bundle, settings.models)
            raise
        return bundle

    def _warn_of(self, refused: set[int]) -> None:
        for version in sorted(refused, reverse=True):
            self._search.warn_of(version)

    def _take(self, bundle: ModelBundle) -> None:
        settings, version = self._settings, bundle.contract.version
        changed = lay_out(bundle, settings)
        versions.drop_cached(bundle, settings.models)
        facts = {"model": bundle.contract.name, "version": version, "repository": str(settings.repository)}
        logger.info("laid out" if changed else "is laid out already", extra=facts)
        self._current = version
        if settings.follow:
            drop_older(bundle, settings)


def follow_until_stopped(follower: Follower, interval_s: float) -> ExitCode:
    """Looks at each interval until SIGTERM or SIGINT; a second one ends a look that is under way, too."""
    came: list[int] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        if came:
            os._exit(ExitCode.INTERRUPTED if signum == signal.SIGINT else ExitCode.TERMINATED)
        came.append(signum)

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    with _told_of_signals() as told:
        while not came:
            # Not an Event, whose `set` would wait for ever for the lock of the `wait` that it cuts into.
            if not select.select([told], [], [], interval_s)[0]:
                follower.look()
    return ExitCode.INTERRUPTED if came[0] == signal.SIGINT else ExitCode.DONE


@contextmanager
def _told_of_signals() -> Iterator[int]:
    """What can be read as soon as a signal has come, in the instant before one begins to wait too."""
    told, tells = os.pipe()
    os.set_blocking(tells, False)
    signal.set_wakeup_fd(tells)
    try:
        yield told
    finally:
        signal.set_wakeup_fd(-1)
        os.close(told)
        os.close(tells)
