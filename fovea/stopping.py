"""SIGTERM and Ctrl-C: they end the program at once, or, while a step is under way, after it.

Python raises what the handler of a signal raises wherever the main thread is. That may be inside a callback
whose exceptions nobody gets, only stderr: `__del__`, a weak reference's, the garbage collector's, one that
C calls; or inside code that takes every exception for a failure of its own. So the exception is kept, and
whoever waits looks for it, by `raise_lost`.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from fovea.errors import Terminated


class Torn(KeyboardInterrupt):
    """A second Ctrl-C, which did not wait for the step that is under way: half of it may be done."""


class Stopping:
    """Turns the two signals into exceptions: SIGTERM into Terminated, SIGINT into KeyboardInterrupt.

    Made in the main thread, before anything that they should be able to end; the last one made holds. A
    SIGINT that whoever started the program wants ignored, as `nohup` does, stays so. `message` is
    Terminated's.
    """

    def __init__(self, message: str = "stopped by SIGTERM") -> None:
        self._message = message
        self._stop: BaseException | None = None
        """The last one that came: it was raised, or is due at the end of what defers it."""
        self._deferrals = 0
        global _current, _report_others
        _current = self
        signal.signal(signal.SIGTERM, self._on_signal)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._on_signal)
        if sys.unraisablehook is not _report:
            _report_others, sys.unraisablehook = sys.unraisablehook, _report

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
        self.raise_due()

    def raise_due(self) -> None:
        """Raises what was deferred, and what was raised and lost; nothing while that is dealt with."""
        if self._stop is not None and not self._deferrals and not _is_dealt_with(self._stop):
            raise self._stop

    @property
    def due(self) -> BaseException | None:
        """What the last signal wants raised, for who asks others first."""
        return self._stop

    def is_of(self, error: BaseException | None) -> bool:
        return error is not None and error is self._stop

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        before = None if self._stop is None or _is_dealt_with(self._stop) else self._stop
        if number == signal.SIGTERM and self._stop is not before:
            return  # the program is about to end, and saves
        if self._deferrals and number == signal.SIGINT and isinstance(before, KeyboardInterrupt):
            self._stop = Torn()
            raise self._stop
        if before is None:
            self._stop = Terminated(self._message) if number == signal.SIGTERM else KeyboardInterrupt()
        self.raise_due()


_current: Stopping | None = None
_report_others = sys.unraisablehook


def raise_lost() -> None:
    """Raises the exception of a signal that came before and was lost on its way, in the main thread."""
    if _current is not None and current_thread() is main_thread():
        _current.raise_due()


def finish() -> None:
    """The program's exit code stands: from here on no SIGTERM makes another of it."""
    if _current is not None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def forget() -> None:
    """For who caught what a signal raised, and goes on all the same, as tests do."""
    global _current
    _current = None


def _is_dealt_with(stop: BaseException) -> bool:
    """Whether an `except`, a `finally` or a context manager is at work that its way has come to."""
    error = sys.exception()
    while error is not None and error is not stop:
        error = error.__context__
    return error is stop


def _report(unraisable: "sys.UnraisableHookArgs") -> None:
    """Not of a stop: it is not lost, and the program ends with a line that says it."""
    if _current is None or not _current.is_of(unraisable.exc_value):
        _report_others(unraisable)
