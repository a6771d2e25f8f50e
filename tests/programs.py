"""Starts the programs for tests: real processes, whose libraries are loaded already.

Most of a short run is the loading of libraries, and there are hundreds of runs. So a process for each program
loads them once, and each start is a fork of it: with a process, signals, variables, streams and an exit code
of its own. The compute processes and fronts of a server that is started so are forks too. What is about
starting itself (test_entry.py, test_end_to_end.py, test_template.py and others) starts anew.
"""

import ctypes
import functools
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
_PIPES: Final = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
_SET_BEFORE_LOADING: Final = {
    "server": {"GRPC_VERBOSITY": "NONE"},
    "trainer": {"OMP_WAIT_POLICY": "passive"},
}
"""By the programs themselves, for a library that looks at it as it is loaded."""
_PR_SET_CHILD_SUBREAPER: Final = 36


class Program(subprocess.Popen[str]):
    """`python -m PACKAGE ARGUMENTS`, or a module or some code of it in its place."""

    def __init__(
        self, package: str, *arguments: str, module: str = "", code: str = "", **options: Any
    ) -> None:
        self._package = package
        program = ["-c", code] if code else ["-m", module or package]
        super().__init__([sys.executable, *program, *arguments], text=True, **options)

    if sys.platform == "linux":

        def _execute_child(self, *arguments: Any) -> None:
            names = inspect.signature(super()._execute_child).parameters  # type: ignore[misc]
            given = dict(zip(names, arguments, strict=True))
            what = {name: given[name] for name in ("args", "cwd", "env", "pass_fds")}
            streams = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
            streams = [standard if stream == -1 else stream for standard, stream in enumerate(streams)]
            self.pid = _loaded(self._package, os.getpid()).start(what, streams)
            self._child_created = True
            self._close_pipe_fds(*(given[name] for name in _PIPES))  # type: ignore[attr-defined]


def run(package: str, *arguments: str, timeout: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """To its end, what it says caught, as subprocess.run does."""
    with Program(package, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def fork(package: str, module: str, *arguments: str, pass_fds: Sequence[int]) -> int:
    """The number of a process that is `python -m MODULE ARGUMENTS`, for which the caller waits."""
    command = [sys.executable, "-m", module, *arguments]
    what = {"args": command, "cwd": None, "env": None, "pass_fds": pass_fds}
    return _loaded(package, os.getpid()).start(what, [0, 1, 2])


class _Loaded:
    """The process that has loaded a package; it ends when this one does."""

    def __init__(self, package: str) -> None:
        self._caller, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptor = theirs.fileno()
        command = [sys.executable, "-m", "tests.preloading", package, str(descriptor)]
        environment = {**os.environ, **_SET_BEFORE_LOADING.get(package, {})}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[descriptor])
        theirs.close()
        self._one_at_a_time = threading.Lock()

    def start(self, what: dict[str, Any], streams: list[int]) -> int:
        """The new process is a child of this one: for as long as it takes, this one adopts orphans."""
        with self._one_at_a_time:
            adopt_orphans(True)
            try:
                return ask_for(what, [*streams, *what["pass_fds"]], self._caller)
            finally:
                adopt_orphans(False)


def ask_for(what: dict[str, Any], descriptors: list[int], caller: socket.socket) -> int:
    """The number of the process that was forked at the other end of `caller`."""
    environment = dict(os.environ if what["env"] is None else what["env"])
    message = json.dumps({**what, "env": environment}, default=os.fspath)
    socket.send_fds(caller, [message.encode()], descriptors)
    process = int(caller.recv(100))
    assert caller.recv(100) == b"started"
    return process


@functools.cache
def _loaded(package: str, process: int) -> _Loaded:
    """Of this process alone: one that was forked from it would not be the parent of what it starts."""
    return _Loaded(package)


def wait_for_no_disk(fd: object) -> None:
    """In place of os.fsync."""


def adopt_orphans(yes: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
