"""Starts compute processes: as forks of one that has loaded what they need, a template.

A fork is there in milliseconds, and what it has loaded is memory that it shares with the others. The template
has no threads and runs no model. The forks are this process's own children, which adopts them: they live on
where the template ends, and it is only started again. Elsewhere than on Linux each loads for itself.
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
            if sys.platform != "linux" or self._control is not None:
                return
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs, self._ending_at_failure():
                self._process = child.start(MODULE, FORK, theirs)

    def load(self) -> None:
        """Waits until a process can be forked at once. Raises OSError."""
        with self._one_at_a_time:
            self.begin()
            if self._control is not None and not self._is_loaded:
                with self._ending_at_failure():
                    self._is_loaded = _answer(self._control) == LOADED

    def start(self, theirs: socket.socket) -> Child:
        """A process that computes for the other end of `theirs`. Raises OSError."""
        with self._one_at_a_time:
            if self._control is None:
                return child.start(MODULE, COMPUTE, theirs)
            with self._ending_at_failure(), _adopting_orphans():
                socket.send_fds(self._control, [COMPUTE.encode()], [theirs.fileno()])
                number = int(_answer(self._control))
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        return Child(number)

    def end(self) -> None:
        """What it forked lives on."""
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


def _answer(control: socket.socket) -> bytes:
    if answer := control.recv(100):
        return answer
    raise OSError(errno.ECHILD, "the process that they are forks of died")


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """A process whose parent ends becomes a child of this one."""
    libc = ctypes.CDLL(None, use_errno=True)

    def adopt(yes: bool) -> None:
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")

    adopt(True)
    try:
        yield
    finally:
        adopt(False)
