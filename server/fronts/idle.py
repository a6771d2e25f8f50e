"""A selector by which an event loop does what many calls share once, when it has nothing else to do."""

import selectors
import time
from collections.abc import Callable
from typing import Final

HELD_S: Final = 0.001
"""Until then it is done though the loop is busy."""


class IdleSelector(selectors.DefaultSelector):
    """What a loop waits by; the best of the platform, as a server of one process is not for Linux alone."""

    def __init__(self) -> None:
        super().__init__()
        self._due: Callable[[], None] | None = None
        self._since = 0.0

    def when_idle(self, call: Callable[[], None]) -> None:
        """Calls it before the loop sleeps, or after HELD_S; there is one such call at a time."""
        if self._due is None:
            self._due, self._since = call, time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._due is None:
            return super().select(timeout)
        events = super().select(0)
        would_sleep = not events and (timeout is None or timeout > 0)
        if would_sleep or time.monotonic() - self._since > HELD_S:
            due, self._due = self._due, None
            due()
        return events
