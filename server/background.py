"""Long work that holds up neither the event loop nor the end of the program."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from fovea import daemons

T = TypeVar("T")


async def in_background(work: Callable[[], T]) -> T:
    """Runs `work` in a thread of its own; returns or raises what it does.

    Unlike `asyncio.to_thread`'s, the thread is not waited for when the program ends, whatever ends it:
    see `daemons`.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    daemons.start(_run, work, loop, outcome)
    try:
        return await outcome
    finally:
        del outcome  # a failure's traceback holds this frame, and with it whatever failed to load


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
