"""SIGTERM: the run ends at once, or, while it trains, after the step that is under way."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fovea.errors import Terminated

MESSAGE = "stopped by SIGTERM"


class Stopping:
    """Whether SIGTERM came. Made in the main thread, before anything that it should be able to end."""

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        signal.signal(signal.SIGTERM, self._on_signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, SIGTERM only sets `requested`: an optimizer's step must not be torn in half.

        Raises Terminated at the end if it came and nobody looked.
        """
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.requested:
            raise Terminated(MESSAGE)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._deferred:
            raise Terminated(MESSAGE)
