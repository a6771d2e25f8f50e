"""A training tells how it goes, and waits for no one but at its end, and then not for long."""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Lock
from typing import Final

from fovea import daemons
from fovea.errors import Terminated
from fovea.foreground import wait_for
from trainer.runs.history import EpochRecord
from trainer.tracking.standing import Chosen, Outcome, Standing, Status, Tracker

logger = logging.getLogger(__name__)

END_S: Final = 30.0
"""A training that is done waits for so long until all is told."""
STOPPED_S: Final = 10.0
"""One that was stopped by a signal: whoever sent it waits too."""

AGAIN_S: Final = 1.0
"""After which the end is told once more, where it was not heard."""

LATER: Final = "nothing can be told; the training goes on, and tells it all with the next epoch"


class Tracking:
    """What a training tells to each tracker."""

    def __init__(self, standing: Standing, trackers: Sequence[Tracker]) -> None:
        self._standing = standing
        self._tellers = [_Teller(tracker) for tracker in trackers]

    @contextmanager
    def told(self) -> Iterator["Tracking"]:
        """Tells that the training goes on, and how what is inside ended."""
        self._tell(self._standing)
        try:
            yield self
        except (Terminated, KeyboardInterrupt):
            self._end("KILLED", STOPPED_S)
            raise
        except BaseException:
            self._end("FAILED", END_S)
            raise
        outcome = self._standing.outcome
        self._end("FAILED" if outcome and outcome.refusal else "FINISHED", END_S)

    def choice(self, chosen: Chosen, files: Sequence[Path]) -> None:
        self._tell(replace(self._standing, chosen=chosen, files=(*self._standing.files, *files)))

    def epochs(self, records: Sequence[EpochRecord]) -> None:
        """All of the run so far."""
        self._tell(replace(self._standing, epochs=tuple(records)))

    def outcome(self, outcome: Outcome, files: Sequence[Path]) -> None:
        self._tell(replace(self._standing, outcome=outcome, files=(*self._standing.files, *files)))

    def _tell(self, standing: Standing) -> None:
        self._standing = standing
        for teller in self._tellers:
            teller.tell(standing)

    def _end(self, status: Status, patience_s: float) -> None:
        self._tell(replace(self._standing, status=status))
        end = time.monotonic() + patience_s
        for teller in self._tellers:
            teller.wait(end - time.monotonic())


UNTRACKED: Final = Tracking(Standing("", "", "", {}), [])


class _Teller:
    """A tracker in a thread of its own, which is left behind where it hangs. It is told the newest alone."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._newest: Queue[Standing] = Queue(maxsize=1)
        self._ended = Event()
        self._is_away = False
        self._warning = Lock()
        daemons.start(self._run)

    def tell(self, standing: Standing) -> None:
        with suppress(Empty):
            self._newest.get_nowait()  # what it says is in the next one too
        self._newest.put_nowait(standing)

    def wait(self, timeout_s: float) -> None:
        """Until the end is told. That it is away was said before."""
        if not wait_for(self._ended, timeout_s):
            self._warn(" does not answer: it was not told how the training ended")

    def _run(self) -> None:
        while not self._ended.is_set():
            standing = self._newest.get()
            is_last = standing.status != "RUNNING"
            if not self._tells(standing) and is_last:
                time.sleep(AGAIN_S)
                self._tells(standing)
            if is_last:
                self._ended.set()

    def _tells(self, standing: Standing) -> bool:
        try:
            self._tracker.tell(standing)
        except Exception as error:  # whatever it is, the training goes on
            self._warn(f": {LATER}: {reason(error)}")
            return False
        self._is_away = False
        return True

    def _warn(self, problem: str) -> None:
        """Once, until it answers again: of who waits for its end and the thread that was left, the first."""
        with self._warning:
            if not self._is_away:
                self._is_away = True
                logger.warning("%s%s", self._tracker.place, problem)


LONGEST_REASON: Final = 500


def reason(error: Exception) -> str:
    """In one line that names no password of a URL."""
    lines = str(error).splitlines() or [type(error).__name__]
    return without_credentials(lines[0])[:LONGEST_REASON]


def without_credentials(text: str) -> str:
    """`http://user:password@host` -> `http://host`."""
    return re.sub(r"(?<=//)[^/@\s]+@", "", text)
