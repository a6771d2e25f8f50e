"""Starts compute processes: as forks of one that has loaded what they need, a template.

A fork is there in milliseconds, and what it has loaded is memory that it shares with the others. The template
has no threads and runs no model. The forks are this process's own children, which adopts them: they live on
where the template ends, and it is only started again. Where the kernel cannot do that (it is no Linux, or a
sandbox without it), each loads for itself.
"""

import contextlib
import ctypes
import errno
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Final

from server.compute import child
from server.compute.child import Child

MODULE: Final = "server.compute.process"
FORK, COMPUTE = "fork", "compute"
"""What it is to do with the socket that it gets."""
LOADED: Final = b"loaded"
"""What a template says at first. Then it answers each socket with the new process's number, or -errno."""

LOADS_WITHIN_S: Final = 600.0
FORKS_WITHIN_S: Final = 10.0
"""Takes milliseconds; meanwhile the event loop waits."""

_PR_SET_CHILD_SUBREAPER: Final = 36


class Template:
    """The process that others are forked from."""

    def __init__(self) -> None:
        self._control: socket.socket | None = None
        self._process: Child | None = None
        self._is_loaded = False
        self._one_at_a_time = threading.RLock()

    def begin(self) -> None:
        """Lets it load, unless it did already. Raises OSError where there is no room for a process."""
        with self._one_at_a_time:
            if self._control is not None or not _adopt_orphans(False):
                return
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs, self._ending_at_failure():
                self._process = child.start(MODULE, FORK, theirs)

    def load(self) -> None:
        """Waits until a process can be forked at once, by another one if this died. Raises OSError."""
        with self._one_at_a_time:
            if self._is_loaded and self._process is not None and self._process.has_ended():
                self.end()
            self.begin()
            if self._control is not None and not self._is_loaded:
                with self._ending_at_failure():
                    self._is_loaded = _answer(self._control, LOADS_WITHIN_S) == LOADED

    def start(self, theirs: socket.socket) -> Child:
        """A process that computes for the other end of `theirs`. Raises OSError."""
        with self._one_at_a_time:
            if self._control is None:
                return child.start(MODULE, COMPUTE, theirs)
            with self._ending_at_failure(), _adopting_orphans():
                socket.send_fds(self._control, [COMPUTE.encode()], [theirs.fileno()])
                number = int(_answer(self._control, FORKS_WITHIN_S))
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        return Child(number)

    def end(self) -> None:
        """What it forked lives on. Whoever waits for the template in another thread gets an OSError."""
        if (waited_for := self._process) is not None:
            waited_for.kill()
        with self._one_at_a_time:
            self._is_loaded = False
            control, self._control = self._control, None
            process, self._process = self._process, None
        if control is not None:
            control.close()
        if process is not None:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def _ending_at_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.end()
            raise


TEMPLATE: Final = Template()
"""This process's. What it loads does not depend on the model."""


def _answer(control: socket.socket, within_s: float) -> bytes:
    control.settimeout(within_s)
    try:
        answer = control.recv(100)
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, "the process that they are forks of does not answer") from None
    if not answer:
        raise OSError(errno.ECHILD, "the process that they are forks of died")
    return answer


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    _adopt_orphans(True)
    try:
        yield
    finally:
        _adopt_orphans(False)


def _adopt_orphans(yes: bool) -> bool:
    """A process whose parent ends becomes a child of this one, or no longer; False where that cannot be."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0) == 0)
