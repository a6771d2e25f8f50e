import asyncio

import pytest

from server.errors import Draining, QueueFull
from server.queue.priorities import Admission, Priority
from tests.server.event_loop import all_has_run, in_event_loop


def test_full_queue_refuses_at_once() -> None:
    admission = Admission(max_images=2, max_bytes=100)
    with (
        admission.admit(2, 10),
        pytest.raises(QueueFull, match="2 images are in flight, of 2"),
        admission.admit(1, 1),
    ):
        pass


def test_bytes_in_flight_are_bounded() -> None:
    admission = Admission(max_images=10, max_bytes=100)
    with (
        admission.admit(1, 60),
        pytest.raises(QueueFull, match="60 bytes are in flight, of 100"),
        admission.admit(1, 41),
    ):
        pass


def test_room_is_given_back_when_a_call_fails() -> None:
    admission = Admission(max_images=1, max_bytes=100)
    with pytest.raises(RuntimeError), admission.admit(1, 100):
        raise RuntimeError
    with admission.admit(1, 100):
        assert (admission.images, admission.bytes) == (1, 100)


def test_closed_admission_lets_go_on_what_is_in_flight() -> None:
    admission = Admission(max_images=10, max_bytes=100)
    with admission.admit(1, 10):
        admission.close()
        assert admission.images == 1
        with pytest.raises(Draining), admission.admit(1, 10):
            pass


@in_event_loop
async def test_who_waits_while_admission_is_open_hears_that_it_closes() -> None:
    admission = Admission(max_images=10, max_bytes=100)
    waits = asyncio.Event()

    async def wait() -> None:
        async with admission.while_open():
            waits.set()
            await asyncio.Event().wait()

    waiting = [asyncio.create_task(wait()) for _ in range(2)]
    await waits.wait()
    admission.close()
    assert [type(end) for end in await asyncio.gather(*waiting, return_exceptions=True)] == [Draining] * 2
    assert admission.last_refusal > 0
    admission.close()
    with pytest.raises(Draining):
        await wait()


@in_event_loop
async def test_who_no_longer_waits_for_admission_does_not_hear_that_it_closes() -> None:
    admission = Admission(max_images=10, max_bytes=100)
    async with admission.while_open():
        pass
    admission.close()
    await all_has_run()


@in_event_loop
async def test_admission_is_empty_whenever_nothing_is_in_flight() -> None:
    admission = Admission(max_images=10, max_bytes=100)
    await admission.empty()
    for _ in range(2):
        with admission.admit(1, 10):
            with admission.admit(2, 10, Priority.BULK):
                waiting = asyncio.create_task(admission.empty())
                await all_has_run()
                assert not waiting.done()
            await all_has_run()
            assert not waiting.done()
        await waiting


@in_event_loop
async def test_a_timeout_of_another_kind_is_not_taken_for_a_closed_admission() -> None:
    with pytest.raises(TimeoutError):
        async with Admission(max_images=10, max_bytes=100).while_open():
            raise TimeoutError


def test_bulk_images_find_three_quarters_of_the_room_and_interactive_ones_the_rest() -> None:
    admission = Admission(max_images=8, max_bytes=100)
    with admission.admit(5, 5, Priority.BULK):
        with admission.admit(1, 1, Priority.BULK):
            with (
                pytest.raises(QueueFull, match="6 images of bulk calls"),
                admission.admit(1, 1, Priority.BULK),
            ):
                pass
            with admission.admit(2, 2):
                assert admission.images == 8
        with admission.admit(1, 1, Priority.BULK):  # the room that was given back
            assert admission.images == 6


def test_bulk_bytes_find_three_quarters_of_the_room_and_interactive_ones_the_rest() -> None:
    admission = Admission(max_images=8, max_bytes=100)
    with admission.admit(1, 60, Priority.BULK):
        with admission.admit(1, 15, Priority.BULK), admission.admit(1, 25):
            assert admission.bytes == 100
        with pytest.raises(QueueFull, match="60 bytes of bulk calls"), admission.admit(1, 16, Priority.BULK):
            pass
        with admission.admit(1, 15, Priority.BULK):  # the room that was given back
            assert admission.bytes == 75


def test_a_bulk_call_larger_than_its_share_is_admitted_when_it_is_the_only_one() -> None:
    for images, size_bytes in ((7, 7), (1, 90)):
        admission = Admission(max_images=8, max_bytes=100)
        with admission.admit(1, 1, Priority.BULK):
            refused = pytest.raises(QueueFull, match="of bulk calls are in flight")
            with refused, admission.admit(images, size_bytes, Priority.BULK):
                pass
        with admission.admit(1, 1), admission.admit(images, size_bytes, Priority.BULK):
            assert admission.images == images + 1


def test_a_refusal_carries_the_time_to_come_back_that_was_foreseen() -> None:
    admission = Admission(max_images=1, max_bytes=100)
    with (
        admission.admit(1, 1),
        pytest.raises(QueueFull) as caught,
        admission.admit(1, 1, Priority.INTERACTIVE, lambda: 2.5),
    ):
        pass
    assert caught.value.retry_after_s == 2.5
    with admission.admit(1, 1), pytest.raises(QueueFull) as caught, admission.admit(1, 1):
        pass
    assert caught.value.retry_after_s == 0.1
