"""The log is written by a thread of its own: a reader of stderr that is stuck stops no call."""

import logging
import os
import queue
import sys
import threading
from typing import Final

from fovea import logs
from server.telemetry.grpc_log import leave_out_what_callers_do

CAPACITY_LINES: Final = 4096
FLUSH_S: Final = 0.5
"""How long the end of the program waits for the lines that are not written yet."""


def set_up_log(level: logs.LogLevel, log_format: logs.LogFormat) -> "QueuedLog":
    """The log of a process that speaks gRPC, on stderr."""
    log = QueuedLog(sys.stderr.fileno())
    logs.set_up(level, log_format, log)
    leave_out_what_callers_do()
    # gRPC's core would write lines of its own beside the one that an error ends with.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    return log


class QueuedLog(logging.Handler):
    """Writes lines to a file descriptor through a queue; drops what does not fit, and says so later."""

    def __init__(self, descriptor: int, capacity_lines: int = CAPACITY_LINES) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._dropped = 0
        self._dropped_lock = (
            threading.Lock()
        )  # not the handler's own, which the program's end holds as it flushes
        self._queue: queue.Queue[str | threading.Event] = queue.Queue(capacity_lines)
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._queue.put_nowait(self.format(record))
        except queue.Full:
            with self._dropped_lock:
                self._dropped += 1
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Waits until what was logged so far is written, but not for ever."""
        written = threading.Event()
        try:
            self._queue.put(written, timeout=FLUSH_S)
        except queue.Full:
            return
        written.wait(FLUSH_S)

    def _write_all(self) -> None:
        while True:
            entry = self._queue.get()
            if isinstance(entry, threading.Event):
                entry.set()
                continue
            self._write(entry)
            if lost := self._take_dropped():
                self._write(self.format(_dropped_lines_record(lost)))

    def _take_dropped(self) -> int:
        with self._dropped_lock:
            taken, self._dropped = self._dropped, 0
        return taken

    def _write(self, line: str) -> None:
        # Not through sys.stderr: a write that hangs would hold its lock, and the program's end needs that.
        rest = f"{line}\n".encode(errors="backslashreplace")
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:  # nobody will ever read it
            pass


def _dropped_lines_record(lines: int) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": __name__,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "lines of the log were dropped: stderr was not read",
            "lines": lines,
        }
    )
