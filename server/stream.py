"""Answers to a stream of requests, each as soon as it is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


async def as_they_come(
    requests: AsyncIterator[Q], answer: Callable[[Q], Awaitable[A]], window: int
) -> AsyncIterator[A]:
    """Yields one answer for each request, in the order in which they are ready.

    No more than `window` requests are read and not yet taken as answers, so that a caller who sends
    faster than the model computes, or does not read, is held back by gRPC's flow control.
    Raises what `requests` or `answer` raises, after the answers that were ready; the others are given up.
    """
    room = asyncio.Semaphore(window)
    answers: asyncio.Queue[A | None] = asyncio.Queue()

    async def answer_one(request: Q) -> None:
        answers.put_nowait(await answer(request))

    async def read_all() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                await room.acquire()
                async for request in requests:
                    tasks.create_task(answer_one(request))
                    await room.acquire()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            answers.put_nowait(None)

    reader = asyncio.create_task(read_all())
    try:
        while (ready := await answers.get()) is not None:
            yield ready
            room.release()
        await reader
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
