import asyncio
from collections.abc import AsyncIterator

import pytest

from server.calls.stream import as_they_come
from server.errors import Draining
from server.queue.priorities import Admission
from tests.server.event_loop import in_event_loop


@in_event_loop
async def test_answer_comes_before_the_next_request_is_sent() -> None:
    answered = asyncio.Event()

    async def requests() -> AsyncIterator[int]:
        yield 1
        await answered.wait()
        yield 2

    answers = []
    async for answer in as_they_come(requests(), echo, window=8):
        answers.append(answer)
        answered.set()
    assert answers == [1, 2]


@in_event_loop
async def test_quick_answer_overtakes_a_slow_one() -> None:
    second_is_out = asyncio.Event()

    async def answer(request: int) -> int:
        if request == 1:
            await second_is_out.wait()
        return request

    answers = []
    async for answered in as_they_come(numbers(2), answer, window=2):
        answers.append(answered)
        second_is_out.set()
    assert answers == [2, 1]


@in_event_loop
async def test_no_more_requests_are_read_than_the_window_holds() -> None:
    read: list[int] = []

    async def requests() -> AsyncIterator[int]:
        async for number in numbers(20):
            read.append(number)
            yield number

    taken = 0
    async for _ in as_they_come(requests(), echo, window=3):
        taken += 1
        await asyncio.sleep(0)
        assert len(read) <= taken + 3
    assert taken == 20


@in_event_loop
async def test_a_failure_of_the_caller_comes_after_the_ready_answers() -> None:
    answered = asyncio.Event()

    async def requests() -> AsyncIterator[int]:
        yield 1
        await answered.wait()
        raise ConnectionResetError("the caller is gone")

    answers = as_they_come(requests(), echo, window=8)
    assert await anext(answers) == 1
    answered.set()
    with pytest.raises(ConnectionResetError, match="the caller is gone"):
        await anext(answers)


@in_event_loop
async def test_what_was_read_is_answered_before_the_failure_of_the_caller() -> None:
    failed = asyncio.Event()

    async def requests() -> AsyncIterator[int]:
        yield 1
        failed.set()
        raise ConnectionResetError("the caller is gone")

    async def answer(request: int) -> int:
        await failed.wait()
        await asyncio.sleep(0)
        return request

    answers = as_they_come(requests(), answer, window=8)
    assert await anext(answers) == 1
    with pytest.raises(ConnectionResetError):
        await anext(answers)


@in_event_loop
async def test_closed_admission_ends_the_reading_and_then_the_stream() -> None:
    admission = Admission(max_images=8, max_bytes=100)
    began, closed = asyncio.Event(), asyncio.Event()

    async def requests() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def answer(request: int) -> int:
        with admission.admit(1, 1):
            began.set()
            await closed.wait()
        return request

    answers = as_they_come(requests(), answer, 8, admission.while_open())
    first = asyncio.ensure_future(anext(answers))
    await began.wait()
    admission.close()
    await asyncio.sleep(0)
    closed.set()
    assert await first == 1
    with pytest.raises(Draining, match="another replica will answer"):
        await anext(answers)


@in_event_loop
async def test_who_stops_listening_waits_until_nothing_is_read_any_more() -> None:
    closed = asyncio.Event()

    async def requests() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.set()

    answers = as_they_come(requests(), echo, window=8)
    await anext(answers)
    await answers.aclose()  # type: ignore[attr-defined]
    assert closed.is_set()


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(1, count + 1):
        yield number


async def echo(request: int) -> int:
    return request
