"""How busy a stage's threads are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Stopwatch:
    """Adds up the time that a stage's workers work, from any number of threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.busy_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.busy_s += time.perf_counter() - started
