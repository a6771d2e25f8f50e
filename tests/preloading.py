"""`python -m tests.preloading PACKAGE DESCRIPTOR`: loads a package once, and is forked for each start of it.

Runs nothing of it: what is forked is where `python -m PACKAGE` is when its imports are done. tests.programs
asks for it through the socket.
"""

import atexit
import fcntl
import gc
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from tests import programs

_ITS_SOCKET: Final = 3
_LOADED_WHEN_USED: Final = {
    "scorer": ("kubernetes.client.api.batch_v1_api", "kubernetes.client.api.core_v1_api"),
}
"""By a library itself, for what is asked of it."""


def main(package: str, descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    gc.disable()  # nothing of what is loaded is garbage, and it takes up to a second to look
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if not module.name.endswith(".__main__"):
            with suppress(ModuleNotFoundError):  # of what only Triton has, say; the program itself would tell
                import_module(module.name)
    for name in _LOADED_WHEN_USED.get(package, ()):
        import_module(name)
    os.fsync = programs.wait_for_no_disk
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=descriptor) as caller:
        start = _wait_for_start(caller)
    if start and package == "server":
        start = _keep_another() or start
    if start:
        try:
            _become(*start["args"][1:], folder=start["cwd"], environment=start["env"])
        except SystemExit as end:
            if end.code is None or isinstance(end.code, int):
                _leave(end.code or 0)
            raise


def _wait_for_start(caller: socket.socket) -> dict[str, Any] | None:
    """In each forked process what it is to be; in this one nothing, when the caller is gone."""
    while True:
        message, descriptors, *_ = socket.recv_fds(caller, 1 << 20, maxfds=8)
        if not message:
            return None
        start: dict[str, Any] = json.loads(message)
        if _fork(caller):
            caller.close()
            _place(descriptors, [0, 1, 2, *start["pass_fds"]])
            return start
        for given in descriptors:
            os.close(given)


def _keep_another() -> dict[str, Any] | None:
    """Forks one more from what is to be a server, of which those that it starts are forks in their turn.

    In these, what each of them is to be; in the server nothing. It adopts them.
    """
    from server.compute import child, template

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        ours.close()
        return _wait_for_the_server(theirs.detach())
    theirs.close()
    one_at_a_time = threading.Lock()

    def start(module: str, what: str, theirs: socket.socket) -> child.Child:
        arguments = [sys.executable, "-m", module, what, str(_ITS_SOCKET)]
        told = {"args": arguments, "cwd": str(Path.cwd()), "env": None, "pass_fds": [_ITS_SOCKET]}
        with one_at_a_time, Path(os.devnull).open("rb") as nothing:
            return child.Child(programs.ask_for(told, [nothing.fileno(), 1, 2, theirs.fileno()], ours))

    programs.adopt_orphans(True)
    template._adopt_orphans = lambda yes: True
    child.start = start
    return None


def _wait_for_the_server(descriptor: int) -> dict[str, Any]:
    """With a hold on nothing that the server has open, such as its standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)  # a terminal's Ctrl-C is the server's to handle
    caller = socket.socket(fileno=fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 500))
    os.closerange(3, 500)
    _place([os.open(os.devnull, os.O_RDWR) for _ in range(3)], [0, 1, 2])
    start = _wait_for_start(caller)
    if start is None:
        os._exit(0)
    return start


def _fork(caller: socket.socket) -> bool:
    """Whether this is the new process. Its parent ends at once, so that the caller inherits it."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        caller.send(b"started")
        return False
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parent = os.getpid()
    if child := os.fork():
        caller.send(str(child).encode())
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.0002)  # else what it asks the kernel to do at its parent's end would be done now
    return True


def _place(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Gives each descriptor its number, which may be another's now."""
    aside = [fcntl.fcntl(given, fcntl.F_DUPFD, 500) for given in descriptors]
    for given in descriptors:
        os.close(given)
    for descriptor, number in zip(aside, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _become(
    kind: str, program: str, *arguments: str, folder: str | None, environment: dict[str, str]
) -> None:
    """Goes on as `python KIND PROGRAM ARGUMENTS` would."""
    if folder is not None:
        os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    _reopen("stdout")
    _reopen("stderr")
    sys.argv = [kind, *arguments]
    sys.path[0] = str(Path.cwd()) if kind == "-m" else ""
    if kind == "-m":
        if not hasattr(sys.modules.get(program), "__path__"):
            sys.modules.pop(program, None)  # runpy would warn of it
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})


def _reopen(name: str) -> None:
    """The stream that was given may be another kind of file than the one that was there."""
    old = getattr(sys, name)
    file = open(old.fileno(), "wb", closefd=False)  # noqa: SIM115 - for as long as the process lives
    at_once = name == "stderr" or file.isatty()
    setattr(sys, name, io.TextIOWrapper(file, old.encoding, old.errors, line_buffering=at_once))


def _leave(code: int) -> NoReturn:
    """As the interpreter ends, but for taking down all that was loaded, which takes longer than most runs."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
