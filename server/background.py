"""Long work that holds up neither the event loop nor the end of the program."""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

_NAME: Final = "background"


async def in_background(work: Callable[[], T]) -> T:
    """Runs `work` in a thread of its own; returns or raises what it does.

    Unlike `asyncio.to_thread`'s, the thread is not waited for when the program ends: `leave` is.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    threading.Thread(target=_run, args=(work, loop, outcome), name=_NAME, daemon=True).start()
    try:
        return await outcome
    finally:
        del outcome  # a failure's traceback holds this frame, and with it whatever failed to load


def leave(code: int) -> None:
    """Ends the process where such work still runs.

    The interpreter's own end kills the thread at its next step in Python, and a library's C++ answers that
    by aborting the process.
    """
    if any(thread.name == _NAME for thread in threading.enumerate()):
        os._exit(code)


def _run(work: Callable[[], T], loop: asyncio.AbstractEventLoop, outcome: "asyncio.Future[T]") -> None:
    try:
        _deliver(loop, outcome, outcome.set_result, work())
    except BaseException as error:
        _deliver(loop, outcome, outcome.set_exception, error)
    finally:
        del work, outcome


def _deliver(
    loop: asyncio.AbstractEventLoop, outcome: "asyncio.Future[T]", tell: Callable[[Any], None], value: object
) -> None:
    def tell_unless_given_up() -> None:
        if not outcome.done():
            tell(value)

    with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
        loop.call_soon_threadsafe(tell_unless_given_up)
