"""A process of this one's: killed and waited for by its number, which is nobody else's until then."""

import os
import signal
import socket
import sys
import threading
from contextlib import suppress


class Child:
    """May be killed and waited for from any thread, and more than once."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._reaping = threading.Lock()

    def kill(self) -> None:
        with self._reaping:
            if self._code is None:
                os.kill(self.pid, signal.SIGKILL)

    def has_ended(self) -> bool:
        with self._reaping:
            if self._code is not None:
                return True
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def wait(self) -> int:
        """Its exit code, below 0 that of the signal which ended it."""
        with suppress(ChildProcessError):  # another thread waited for it
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return self._code


def start(module: str, what: str, theirs: socket.socket) -> Child:
    """`python -m MODULE WHAT FD`, where FD is `theirs`. Raises OSError."""
    environment = {
        "OPENBLAS_NUM_THREADS": "1",  # numpy's threads, which nothing here uses, would not survive a fork
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
    }
    descriptor = os.dup(theirs.fileno())
    try:
        os.set_inheritable(descriptor, True)
        return Child(
            os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", module, what, str(descriptor)],
                environment,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
                setpgroup=0,  # a terminal's Ctrl-C is the server's to handle
            )
        )
    finally:
        os.close(descriptor)
