"""Tests that are coroutines."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import ParamSpec

P = ParamSpec("P")


def in_event_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Runs an async test in an event loop of its own, for 90 seconds at most: some start processes."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), timeout=90))

    return run


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what nobody announces; for as long as the test may take."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def all_has_run() -> None:
    """Lets every task run until it waits for something."""
    for _ in range(5):
        await asyncio.sleep(0)
