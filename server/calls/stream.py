"""Answers to a stream of requests, each as soon as it is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

ALWAYS: Final = nullcontext()
"""For `while_open`: nothing ends the reading."""


async def as_they_come(
    requests: AsyncIterator[Q],
    answer: Callable[[Q], Awaitable[A]],
    window: int,
    while_open: AbstractAsyncContextManager[None] = ALWAYS,
) -> AsyncIterator[A]:
    """Yields one answer for each request, in the order in which they are ready.

    No more than `window` requests are read and not yet taken as answers, so that a caller who sends
    faster than the model computes, or does not read, is held back by gRPC's flow control.
    `while_open` surrounds the reading, and may end it. Raises what it or `requests` raises, after the
    answers to what was read; and what `answer` raises, after those that were ready: others are given up.
    """
    room = asyncio.Semaphore(window)
    answers: asyncio.Queue[A | None] = asyncio.Queue()
    reader = asyncio.create_task(_answer_all(requests, answer, answers, room, while_open))
    try:
        while (ready := await answers.get()) is not None:
            yield ready
            room.release()
        await reader
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _answer_all(
    requests: AsyncIterator[Q],
    answer: Callable[[Q], Awaitable[A]],
    answers: "asyncio.Queue[A | None]",
    room: asyncio.Semaphore,
    while_open: AbstractAsyncContextManager[None],
) -> None:
    """Puts each answer, and None after the last; then raises what went wrong."""
    failure = None
    try:
        async with asyncio.TaskGroup() as tasks:
            try:
                async with while_open:
                    await room.acquire()
                    async for request in requests:
                        tasks.create_task(_answer_one(request, answer, answers))
                        await room.acquire()
            except Exception as error:
                failure = error
    except ExceptionGroup as failures:
        failure = failures.exceptions[0]
    finally:
        answers.put_nowait(None)
    try:
        if failure is not None:
            raise failure
    finally:
        del failure  # its traceback holds this frame


async def _answer_one(
    request: Q, answer: Callable[[Q], Awaitable[A]], answers: "asyncio.Queue[A | None]"
) -> None:
    answers.put_nowait(await answer(request))
