"""Threads whose call a program may leave behind when it ends: one that hangs in a store, or in an API."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Final, TypeVar
from weakref import WeakSet

T = TypeVar("T")

_started: Final[WeakSet[Thread]] = WeakSet()


def start(target: Callable[..., object], *args: object) -> Thread:
    thread = Thread(target=target, args=args, daemon=True)
    _started.add(thread)
    thread.start()
    return thread


def begin(call: Callable[[], T]) -> "Future[T]":
    """The call's result, or its exception, as soon as it has one."""
    result: Future[T] = Future()
    start(_fill, result, call)
    return result


def are_at_work() -> bool:
    """Whether one is left behind, if the program ends now.

    Python ends such a thread amid its call, as soon as the call comes back while the interpreter is being
    taken down. Where a library in Rust or C++ has called Python (pydantic, obstore), that aborts the process.
    """
    return any(thread.is_alive() for thread in _started)


def _fill(result: "Future[T]", call: Callable[[], T]) -> None:
    try:
        result.set_result(call())
    except BaseException as error:  # whoever waits is who must hear of it
        result.set_exception(error)
