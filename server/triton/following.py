"""Which version Triton serves: the highest good one of the models' folder, or the one that is pinned."""

import logging
import os
import signal
import threading
from collections.abc import Iterable
from types import FrameType

from fovea.errors import BundleInvalid, ExitCode, FoveaError, Unavailable
from fovea.foreground import wait_for
from fovea.model import versions
from fovea.model.bundle import ModelBundle
from fovea.model.classifier import Classifier
from fovea.stores.storage import Entry, open_folder
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
        self._folder = open_folder(settings.models)
        self._current = 0
        self._refused: dict[int, tuple[Entry, ...]] = {}
        """A version and its files: it is tried again when they change."""
        self._missed = False

    def lay_out_first(self) -> None:
        """The highest good version. Raises BundleInvalid when none is, Unavailable, DataInvalid."""
        refused = self._look()
        if self._current:
            _warn_of(refused)
        elif refused:
            raise BundleInvalid(refused[max(refused)])
        else:
            raise versions.absent(self._folder, self._settings.version)

    def look(self) -> None:
        """The highest good version above the current one, if there is one. What goes wrong is not raised."""
        try:
            _warn_of(self._look())
        except Exception as error:  # the bucket does not answer, or there is a bug: it looks again
            if not self._missed:
                unforeseen = None if isinstance(error, FoveaError) else error
                logger.warning("cannot look for versions", extra={"reason": str(error)}, exc_info=unforeseen)
            self._missed = True
        else:
            self._missed = False

    def _look(self) -> dict[int, str]:
        """Which versions were refused, and why."""
        refused: dict[int, str] = {}
        for version in self._candidates():
            state = tuple(self._folder.folder(str(version)).entries())
            if self._refused.get(version) == state:
                continue
            try:
                bundle = self._open(version)
            except Unavailable:
                raise
            except Exception as error:  # what a model that is not ours makes its runtime raise is not known
                self._refused[version] = state
                refused[version] = _reason(error)
            else:
                self._take(bundle)
                break
        return refused

    def _candidates(self) -> Iterable[int]:
        if (pinned := self._settings.version) is None:
            return versions.newest_first(self._folder, above=self._current)
        return [pinned] if pinned != self._current and versions.is_published(self._folder, pinned) else []

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
    stopped = threading.Event()
    code = ExitCode.DONE

    def stop(signum: int, frame: FrameType | None) -> None:
        nonlocal code
        if stopped.is_set():
            os._exit(ExitCode.INTERRUPTED if signum == signal.SIGINT else ExitCode.TERMINATED)
        code = ExitCode.INTERRUPTED if signum == signal.SIGINT else ExitCode.DONE
        stopped.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
    while not wait_for(stopped, interval_s):
        follower.look()
    return code


def _warn_of(refused: dict[int, str]) -> None:
    for version, reason in refused.items():
        logger.warning("version is refused", extra={"version": version, "reason": reason})


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, FoveaError) else f"{type(error).__name__}: {error}"
