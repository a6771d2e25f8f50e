"""How long this process waits for a store that is away.

A store is away for all threads that call it, and since its last answer. When the time is over it is over for
all of them, so that a thousand reads do not wait one after the other.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final, TypeVar

from fovea.foreground import interruptibly, sleep

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PATIENCE_S: Final = 86_400.0
"""A day."""

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 15.0
SICK_S: Final = 45.0
"""What fails while the store answers others is tried again for so long at most."""
_LOG_EVERY_S: Final = 60.0


class _Patience:
    seconds: float | None = None


def wait_for_stores(patience_s: float | None) -> None:
    """From here on, a call that finds its store away is made again for so long. By default it is not."""
    _Patience.seconds = patience_s


def patience_s() -> float | None:
    return _Patience.seconds


@cache
def store_called(name: str) -> "Store":
    """One for each store of this process."""
    return Store(name)


class Store:
    """What this process knows of a store: how often it answered, and since when it does not."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._answers = 0
        self._away_since: float | None = None
        self._logged: float | None = None
        self._lock = threading.Lock()

    def ask(self, call: Callable[[], T], is_away: Callable[[Exception], bool]) -> T:
        """The call's result, or its last exception. `is_away` says which ones mean that nobody answered."""
        trial = _Trial(time.monotonic(), self._answers)
        while True:
            try:
                result = interruptibly(call)
            except Exception as error:
                if not is_away(error):
                    self._has_answered()
                    raise
                if self._is_given_up(trial):
                    raise
                self._log(error)
            else:
                self._has_answered()
                return result
            trial.pause()

    def _has_answered(self) -> None:
        with self._lock:
            self._answers += 1
            self._away_since = self._logged = None

    def _is_given_up(self, trial: "_Trial") -> bool:
        limit_s, now = _Patience.seconds, time.monotonic()
        if limit_s is None:
            return True
        with self._lock:
            if self._answers != trial.answers:  # it was there for others since this call tried last
                trial.answers = self._answers
                trial.sick_since = trial.began if trial.sick_since is None else trial.sick_since
                return now - trial.sick_since >= min(limit_s, SICK_S)
            trial.sick_since = None
            self._away_since = trial.began if self._away_since is None else self._away_since
            return now - self._away_since >= limit_s

    def _log(self, error: Exception) -> None:
        now = time.monotonic()
        with self._lock:
            if self._logged is not None and now - self._logged < _LOG_EVERY_S:
                return
            self._logged = now
        reason = str(error).splitlines()[0]
        waits = {"store": self._name, "patience_s": _Patience.seconds, "said": reason}
        logger.warning("the store is away; trying again", extra=waits)


@dataclass
class _Trial:
    """A call that is made again and again."""

    began: float
    answers: int
    """Of the store, to whomever, when the call was made last."""
    sick_since: float | None = None
    """Since when the store answers others each time that this call fails."""
    wait_s: float = field(default_factory=lambda: FIRST_WAIT_S)

    def pause(self) -> None:
        pause_s = self.wait_s * random.uniform(0.5, 1.0)
        sleep(pause_s)
        self.wait_s = min(2 * self.wait_s, LONGEST_WAIT_S)
