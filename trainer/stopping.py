"""SIGTERM and Ctrl-C: they end the run at once, or, while a step is under way, after it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from fovea.errors import Terminated

MESSAGE = "stopped by SIGTERM"


class Torn(KeyboardInterrupt):
    """A second Ctrl-C, which did not wait for the step that is under way: half of it may be done."""


class Stopping:
    """Turns the two signals into exceptions: SIGTERM into Terminated, SIGINT into KeyboardInterrupt.

    Made in the main thread, before anything that they should be able to end.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._deferrals = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a signal waits for the end, where it is raised: a step or a save must not be torn in half.

        A second Ctrl-C does not wait, and raises Torn.
        """
        self._deferrals += 1
        try:
            yield
        finally:
            self._deferrals -= 1
        if self._received is not None and not self._deferrals:
            self._raise(self._received)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._deferrals and number == self._received == signal.SIGINT:
            self._received = None
            raise Torn
        self._received = self._received or number
        if not self._deferrals:
            self._raise(self._received)

    def _raise(self, number: int) -> NoReturn:
        self._received = None
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(MESSAGE)
