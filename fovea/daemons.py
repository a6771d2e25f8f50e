"""Threads whose call a program may leave behind when it ends: one that hangs in a store, or in an API."""

from collections.abc import Callable
from threading import Thread
from typing import Final
from weakref import WeakSet

_started: Final[WeakSet[Thread]] = WeakSet()


def start(target: Callable[..., object], *args: object) -> Thread:
    thread = Thread(target=target, args=args, daemon=True)
    _started.add(thread)
    thread.start()
    return thread


def are_at_work() -> bool:
    """Whether one is left behind, if the program ends now.

    Python ends such a thread amid its call, as soon as the call comes back while the interpreter is being
    taken down. Where a library in Rust or C++ has called Python (pydantic, obstore), that aborts the process.
    """
    return any(thread.is_alive() for thread in _started)
