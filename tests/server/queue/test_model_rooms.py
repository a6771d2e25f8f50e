"""A flood of calls to one model leaves room for the others."""

import pytest

from server.errors import QueueFull
from server.queue.priorities import Admission, Priority
from tests.server.event_loop import in_event_loop


def flood(admission: Admission, model: str, images: int = 1, size_bytes: int = 1) -> int:
    """How many calls are admitted."""
    for admitted in range(10_000):
        try:
            admission.admit(images, size_bytes, Priority.INTERACTIVE, lambda: 0.0, model).__enter__()
        except QueueFull:
            return admitted
    raise AssertionError("all were admitted")


@in_event_loop
async def test_room_is_kept_for_each_model_that_has_less_than_its_part() -> None:
    for size_bytes, limits in ((1, (80, 10**9)), (100, (10**9, 8000))):
        admission = Admission(*limits, models=lambda: 4)
        assert flood(admission, "a", 1, size_bytes) == 65, "80, less 5 for each of the three others"
        assert flood(admission, "b", 1, size_bytes) == 5
        assert flood(admission, "c", 1, size_bytes) == 5
        with pytest.raises(QueueFull, match="model a would be in flight; the rest is kept for others"):
            admission.admit(1, size_bytes, Priority.INTERACTIVE, lambda: 0.0, "a").__enter__()
        assert flood(admission, "d", 1, size_bytes) == 5
        assert (admission.images, admission.bytes) == (80, 80 * size_bytes)


@in_event_loop
async def test_what_was_answered_takes_no_room_any_more() -> None:
    admission = Admission(80, 10**9, models=lambda: 2)
    for _ in range(3):
        with admission.admit(70, 70, Priority.INTERACTIVE, lambda: 0.0, "a"):
            assert flood(admission, "a") == 0
        with admission.admit(70, 70, Priority.INTERACTIVE, lambda: 0.0, "b"):
            pass


@in_event_loop
async def test_a_call_as_large_as_all_room_is_admitted_when_its_model_has_no_other() -> None:
    admission = Admission(80, 80, models=lambda: 4)
    with admission.admit(80, 80, Priority.INTERACTIVE, lambda: 0.0, "a"):
        assert flood(admission, "b") == 0
    with admission.admit(1, 1, Priority.INTERACTIVE, lambda: 0.0, "a"):
        assert flood(admission, "a", 79, 79) == 0


@in_event_loop
async def test_a_model_alone_has_all_room() -> None:
    assert flood(Admission(80, 10**9, models=lambda: 1), "a") == 80
    assert flood(Admission(80, 10**9), "a") == 80
