"""The template's side: a fork whenever the server sends it a socket. See `server.compute.template`."""

import errno
import gc
import os
import socket
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn

from server.compute.template import LOADED

ADOPTED: Final = b"adopted"

Work = Callable[[socket.socket], None]
"""With a socket whose other end is the server's; the process ends with it."""


def fork_on_request(control: socket.socket, work: Work) -> None:
    """A process that does its work with each socket that comes, until the end of this one."""
    gc.collect()
    gc.freeze()  # what is loaded stays in pages that nobody writes to
    with suppress(BrokenPipeError, ConnectionResetError):
        control.sendall(LOADED)
        while True:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                return
            with socket.socket(fileno=descriptors[0]) as server:
                control.sendall(str(_fork(control, server, work)).encode())


def _fork(control: socket.socket, server: socket.socket, work: Work) -> int:
    """The new process, whose parent has ended when this returns: the server has adopted it. Or -errno."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            if not (parent := os.fork()):
                _be_orphaned((control, ours), theirs, partial(work, server))
        except OSError as error:
            return -(error.errno or errno.EAGAIN)
        theirs.close()
        number = ours.recv(100)
        os.waitpid(parent, 0)
        with suppress(BrokenPipeError):
            ours.sendall(ADOPTED)
    return int(number) if number else -errno.EAGAIN


def _be_orphaned(
    unneeded: Iterable[socket.socket], template: socket.socket, work: Callable[[], None]
) -> NoReturn:
    """In the parent of the new process, and in that one itself, which both end here."""
    code = 1
    try:
        if number := os.fork():
            template.sendall(str(number).encode())
        else:
            for each in unneeded:
                each.close()
            with template:  # it must not be told of its end by that of its first parent
                template.recv(len(ADOPTED))
            work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
