import threading
import time
from collections.abc import Iterator

import pytest

from fovea.ordered import Window, ordered_map

FREE = Window(items=1000, size_bytes=1000)


def no_size(item: int) -> int:
    return 0


class Counted:
    """Numbers, with a count of how many were taken."""

    def __init__(self, count: int) -> None:
        self.taken = 0
        self._count = count

    def __iter__(self) -> Iterator[int]:
        for number in range(self._count):
            self.taken += 1
            yield number


def test_results_come_in_the_order_of_the_items() -> None:
    first_may_end = threading.Event()

    def function(item: int) -> int:
        if item == 0:
            first_may_end.wait()
        if item == 5:
            first_may_end.set()
        return item

    assert list(ordered_map(function, range(20), 3, FREE, no_size)) == list(range(20))


def test_as_many_run_at_once_as_there_are_threads() -> None:
    together = threading.Barrier(4, timeout=30)

    def function(item: int) -> int:
        together.wait()
        return item

    assert len(list(ordered_map(function, range(8), 4, FREE, no_size))) == 8


def test_items_are_taken_no_further_ahead_than_the_bound() -> None:
    items = Counted(1000)
    ahead = [
        items.taken - number - 1
        for number in ordered_map(lambda item: item, items, 4, Window(10, 1000), no_size)
    ]
    assert max(ahead) == 10


def test_bytes_are_bounded_and_an_item_that_is_larger_goes_alone() -> None:
    sizes = [30, 30, 30, 500, 30, 30, 30, 30, 30]
    items = Counted(len(sizes))
    numbers = []
    for number in ordered_map(lambda item: item, items, 2, Window(100, 100), sizes.__getitem__):
        waits_for_room = items.taken - 1
        under_way = sizes[number:waits_for_room]
        assert sum(under_way) <= 100 or under_way == [500]
        numbers.append(number)
    assert numbers == list(range(len(sizes)))


def test_an_exception_comes_where_its_result_would_have() -> None:
    def function(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    results = ordered_map(function, range(5), 2, FREE, no_size)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_stopping_drops_what_was_not_begun() -> None:
    done: list[int] = []
    results = ordered_map(lambda item: done.append(item), range(1000), 1, Window(5, 10), no_size)
    next(results)
    results.close()
    assert len(done) <= 6


def test_a_call_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.ordered.STOP_GRACE_S", 0.1)
    release = threading.Event()
    results = ordered_map(lambda item: release.wait() if item else True, range(3), 2, Window(2, 10), no_size)
    next(results)
    started = time.monotonic()
    results.close()
    release.set()
    assert time.monotonic() - started < 5
