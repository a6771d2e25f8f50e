"""Calls that the main thread waits for without being deaf to signals."""

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Event, current_thread, main_thread
from typing import Final, TypeVar

from fovea import daemons
from fovea.stopping import raise_lost

T = TypeVar("T")

HEARD_WITHIN_S: Final = 1.0


def interruptibly(call: Callable[[], T]) -> T:
    """The call's result, or its exception.

    Python runs the handler of a signal in the main thread, and only between its own instructions: one that
    is inside a library, whose store hangs, hears of SIGTERM when the store's time is up. So the main thread
    waits here while a daemon makes the call, which is left behind when the handler raises. A thread costs
    a tenth of a millisecond. Other threads call directly.
    """
    if current_thread() is not main_thread():
        return call()
    return result_of(daemons.begin(call))


def result_of(future: "Future[T]") -> T:
    """The future's result, or its exception; a signal's handler runs within HEARD_WITHIN_S.

    A signal wakes a thread that waits, but one that comes in the instant before is only noted: Python would
    wait on, for ever if need be. And what its handler raised may have been lost before the wait began.
    """
    raise_lost()
    while not future.done():
        wait([future], HEARD_WITHIN_S)
        raise_lost()
    return future.result()


def sleep(seconds: float) -> None:
    """A signal's handler runs within HEARD_WITHIN_S."""
    wait_for(Event(), seconds)


def wait_for(event: Event, timeout_s: float) -> bool:
    """Whether the event is there within this time; a signal's handler runs within HEARD_WITHIN_S."""
    end = time.monotonic() + timeout_s
    while not (is_set := event.is_set()) and (remaining_s := end - time.monotonic()) > 0:
        raise_lost()
        event.wait(min(remaining_s, HEARD_WITHIN_S))
    return is_set
